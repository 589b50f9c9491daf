package native

import (
	"errors"
	"fmt"
)

// The kinds of failure, for errors.Is. An error's text names operation, shapes and cause.
var (
	ErrArgument = errors.New("bad argument")      // the caller's: a shape, a type, a handle, an index
	ErrNoDevice = errors.New("no device")         // the library works, but its hardware is not there
	ErrMemory   = errors.New("out of memory")     // of the device or the host
	ErrDevice   = errors.New("the device failed") // or its driver or its libraries, this project's own among them
	ErrFile     = errors.New("a file could not be written")
)

// The codes that calls return, SO8T_OK and the SO8T_ERRORs of include/so8t.h.
const (
	codeOK = iota
	codeBadArgument
	codeNoDevice
	codeOutOfMemory
	codeDevice
	codeFile
	codeInternal
)

// failure is an error of one of the kinds. Only text is shown, as the kind's own text would repeat it.
type failure struct {
	kind error // nil: internal
	text string
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

func failed(kind error, format string, args ...any) error {
	return &failure{kind, fmt.Sprintf(format, args...)}
}

// kindOf returns the kind that a call's code stands for.
func kindOf(code uintptr) error {
	switch int32(code) {
	case codeBadArgument:
		return ErrArgument
	case codeNoDevice:
		return ErrNoDevice
	case codeOutOfMemory:
		return ErrMemory
	case codeDevice:
		return ErrDevice
	case codeFile:
		return ErrFile
	}
	return nil
}
