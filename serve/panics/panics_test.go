package panics

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// A panic's value stays unsaid, whatever its type; its place is told.
func TestRecoverSaysNoValue(t *testing.T) {
	const secret = "秘密の考え"
	for _, value := range []any{secret, fmt.Errorf("bad %s", secret), []byte(secret), struct{ Text string }{secret}} {
		var log bytes.Buffer
		ended := false
		func() {
			defer Recover(slog.New(slog.NewTextHandler(&log, nil)), "test", func() { ended = true })
			panic(value)
		}()
		if said := log.String(); !ended || strings.Contains(said, secret) || strings.Contains(said, fmt.Sprintf("%q", secret)) ||
			!strings.Contains(said, fmt.Sprintf("type=%T", value)) && !strings.Contains(said, fmt.Sprintf("type=%q", fmt.Sprintf("%T", value))) ||
			!strings.Contains(said, "TestRecoverSaysNoValue") {
			t.Errorf("%T: %s", value, said)
		}
	}
	var caught error
	func() {
		defer Caught(func(err error) { caught = err })
		panic(fmt.Errorf("bad %s", secret))
	}()
	if caught == nil || strings.Contains(caught.Error(), secret) || !strings.Contains(caught.Error(), "TestRecoverSaysNoValue") {
		t.Errorf("caught %v", caught)
	}
	called := false
	Recover(slog.New(slog.DiscardHandler), "test", func() { called = true })
	if called {
		t.Error("no panic, but one is reported")
	}
}
