package engine

import (
	"errors"
	"runtime"
	"sync"
)

// thread runs functions one after another on one operating-system thread, because a native context, its
// error text and a GPU's current device belong to the thread that uses them.
type thread struct {
	calls chan func()
	stops func()
	ended chan struct{}
}

func newThread() *thread {
	told := make(chan struct{})
	t := &thread{calls: make(chan func()), stops: sync.OnceFunc(func() { close(told) }), ended: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer close(t.ended)
		for {
			select {
			case f := <-t.calls:
				f()
			case <-told:
				return
			}
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

// stop may be called again.
func (t *thread) stop() {
	t.stops()
	<-t.ended
}
