package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func listen(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run serves until the test ends, or stop is called; it returns when Run has.
func run(t *testing.T, s *Server, h http.HandlerFunc) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, h, nil) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

func get(url string) (string, error) {
	answer, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func TestLoopbackOnly(t *testing.T) {
	if _, err := Listen(Options{Address: "0.0.0.0:0", LoopbackOnly: true, Log: slog.New(slog.DiscardHandler)}); err == nil ||
		!strings.Contains(err.Error(), "no loopback address") {
		t.Error(err)
	}
	s := listen(t, Options{Address: "localhost:0", LoopbackOnly: true, InternalAddress: "127.0.0.1:0"})
	defer s.Close()
	taken := strings.TrimPrefix(s.URL(), "http://")
	if _, err := Listen(Options{Address: taken, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("an address is bound twice")
	}
	if _, err := Listen(Options{Address: "127.0.0.1:0", InternalAddress: taken, Log: slog.New(slog.DiscardHandler)}); err == nil ||
		!strings.Contains(err.Error(), "serve.metrics_address") {
		t.Error(err)
	}
}

// What is being answered when the server is told to stop is answered; what is asked then is told so; what outlasts the
// drain is cancelled with the cause.
func TestDrain(t *testing.T) {
	s := listen(t, Options{Drain: time.Second})
	entered := make(chan string, 2)
	finish := make(chan struct{})
	cause := make(chan error, 1)
	stop := run(t, s, func(w http.ResponseWriter, r *http.Request) {
		if s.Draining() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		entered <- r.URL.Path
		if r.URL.Path == "/endless" {
			<-r.Context().Done()
			cause <- context.Cause(r.Context())
			_, _ = io.WriteString(w, "told")
			return
		}
		<-finish
		_, _ = io.WriteString(w, "whole")
	})
	answers := make(chan string, 2)
	for _, path := range []string{"/short", "/endless"} {
		go func() {
			body, err := get(s.URL() + path)
			answers <- fmt.Sprint(path, " ", body, " ", err)
		}()
		<-entered
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for !s.Draining() {
		time.Sleep(time.Millisecond)
	}
	late, err := http.Get(s.URL())
	if err != nil || late.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("asked while draining: %v, %v", late, err)
	}
	close(finish)
	if got := <-answers; got != "/short whole <nil>" {
		t.Error(got)
	}
	if err := <-cause; !errors.Is(err, ErrStopping) {
		t.Error(err)
	}
	if got := <-answers; got != "/endless told <nil>" {
		t.Error(got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := get(s.URL()); err == nil {
		t.Error("the address is still served")
	}
}
