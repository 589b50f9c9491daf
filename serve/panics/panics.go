// Package panics reports a panic without its value, which may quote a request or an answer. Every goroutine of the server
// defers Recover: what reaches Go's runtime is printed whole.
package panics

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
)

// Recover, deferred, ends a panic and logs its type and stack. then, unless nil, is called after a panic.
func Recover(log *slog.Logger, where string, then func()) {
	value := recover()
	if value == nil {
		return
	}
	log.Error("panic", "in", where, "type", fmt.Sprintf("%T", value), "stack", Stack())
	if then != nil {
		then()
	}
}

// Caught, deferred, ends a panic and hands it over as an Error.
func Caught(then func(error)) {
	if value := recover(); value != nil {
		then(Error(value))
	}
}

// Error is an error of a panic: its type and stack, not its value. A panic that another goroutine passed on tells its Place.
func Error(value any) error {
	if passedOn, ok := value.(interface{ Place() string }); ok {
		return fmt.Errorf("panic of type %s", passedOn.Place())
	}
	return fmt.Errorf("panic of type %T\n%s", value, Stack())
}

// Stack is that of a panic that the caller's caller is recovering: functions, files and lines, without arguments.
func Stack() string {
	var counters [64]uintptr
	frames := runtime.CallersFrames(counters[:runtime.Callers(3, counters[:])])
	var b strings.Builder
	for {
		frame, more := frames.Next()
		fmt.Fprintf(&b, "%s %s:%d\n", frame.Function, frame.File, frame.Line)
		if !more {
			return b.String()
		}
	}
}
