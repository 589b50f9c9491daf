package engine

import (
	"errors"
	"strings"
	"testing"
)

// A panic on the device's thread is the caller's, who may end it; the thread goes on.
func TestThreadPassesPanicsOn(t *testing.T) {
	thread := newThread()
	defer thread.stop()
	func() {
		defer func() {
			p, ok := recover().(passedOn)
			if !ok || !strings.Contains(p.Error(), "秘密") || strings.Contains(p.Place(), "秘密") || !strings.Contains(p.Place(), "TestThreadPassesPanicsOn") {
				t.Errorf("%v", p)
			}
		}()
		_ = thread.do(func() error { panic(errors.New("秘密")) })
		t.Error("the panic is gone")
	}()
	if err := thread.do(func() error { return nil }); err != nil {
		t.Error(err)
	}
}
