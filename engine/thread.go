package engine

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	"so8t/native"
)

// thread runs functions one after another on one operating-system thread: a native context, its error text and a GPU's
// current device belong to a thread.
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

// do runs f on the thread and waits for it. A panic of f is the caller's.
func (t *thread) do(f func() error) error {
	done := make(chan error, 1)
	call := func() {
		defer func() {
			if value := recover(); value != nil {
				done <- passedOn{value, debug.Stack()}
			}
		}()
		done <- f()
	}
	select {
	case <-t.ended:
		return errClosed
	case t.calls <- call:
		err := <-done
		if p, ok := err.(passedOn); ok {
			panic(p)
		}
		return err
	}
}

// passedOn is a panic that another goroutine goes on with.
type passedOn struct {
	value any
	stack []byte // where it was
}

func (p passedOn) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

// Place is Error without the value.
func (p passedOn) Place() string { return fmt.Sprintf("%T\n%s", p.value, p.stack) }

// close closes a device, if there is one, on its thread, and ends the thread. It may be called again.
func (t *thread) close(d *native.Device) error {
	err := t.do(func() error {
		if d == nil {
			return nil
		}
		return d.Close()
	})
	if errors.Is(err, errClosed) {
		return nil
	}
	t.stop()
	return err
}

// settle clears and returns the device's failure, of which err is then a consequence, or returns err if there is none.
func settle(d *native.Device, err error) error {
	if failure := d.Err(); failure != nil {
		d.Reset()
		return failure
	}
	return err
}

// stop may be called again.
func (t *thread) stop() {
	t.stops()
	<-t.ended
}
