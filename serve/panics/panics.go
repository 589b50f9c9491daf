// Package panics reports a panic without its value, which may quote a request or an answer. Every goroutine of the server
// defers Recover: what reaches Go's runtime is printed whole.
package panics

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Recover, deferred, ends a panic and logs its type and stack. Stacks hold addresses and lengths, no text. then, unless
// nil, is called after a panic.
func Recover(log *slog.Logger, where string, then func()) {
	value := recover()
	if value == nil {
		return
	}
	log.Error("panic", "in", where, "type", fmt.Sprintf("%T", value), "stack", string(debug.Stack()))
	if then != nil {
		then()
	}
}
