package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
)

// guard runs f, which decodes a file that may be hostile, and turns its panics and errors into an *Error of one line that
// names the file. What is no fault of the file's content stays as it is: io.EOF, a done context, an error of the machine.
func guard(path string, f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error: // of a column that is not read
			err = &Error{fmt.Errorf("%s: %w", path, r)}
		default:
			err = &Error{fmt.Errorf("%s is damaged: %.200s", path, oneLine(fmt.Sprint(r)))}
		}
	}()
	err = f()
	var known *Error
	var machine syscall.Errno
	switch {
	case err == nil, err == io.EOF, errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &machine) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && machine != syscall.EINVAL:
		return fmt.Errorf("read %s: %w", path, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{fmt.Errorf("%s is cut off (a copy or download that did not finish?): %.200s", path, oneLine(err.Error()))}
	}
	return &Error{fmt.Errorf("%s: %.300s", path, oneLine(err.Error()))}
}

func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
}
