package engine

import (
	"errors"
	"runtime"
)

// thread runs functions one after another on one operating-system thread, because a native context, its
// error text and a GPU's current device belong to the thread that uses them.
type thread struct {
	calls chan func()
	ended chan struct{}
}

func newThread() *thread {
	t := &thread{calls: make(chan func()), ended: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer close(t.ended)
		for f := range t.calls {
			f()
		}
	}()
	return t
}

var errClosed = errors.New("the model is closed")

// do runs f on the thread and waits for it.
func (t *thread) do(f func() error) error {
	done := make(chan error, 1)
	select {
	case <-t.ended:
		return errClosed
	case t.calls <- func() { done <- f() }:
		return <-done
	}
}

func (t *thread) stop() {
	close(t.calls)
	<-t.ended
}
