package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// text is a log that a test reads while a server writes it.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func logTo(t *text) *slog.Logger {
	return slog.New(slog.NewTextHandler(t, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

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

// The time for reading a request ends no answer that takes longer.
func TestReadTimeoutEndsNoAnswer(t *testing.T) {
	s := listen(t, Options{})
	s.readTimeout = 100 * time.Millisecond
	run(t, s, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(400 * time.Millisecond):
			_, _ = io.WriteString(w, "whole")
		}
	})
	for name, ask := range map[string]func() (*http.Response, error){
		"without a body": func() (*http.Response, error) { return http.Get(s.URL()) },
		"with a body":    func() (*http.Response, error) { return http.Post(s.URL(), "text/plain", strings.NewReader("question")) },
	} {
		answer, err := ask()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if body, err := io.ReadAll(answer.Body); string(body) != "whole" || err != nil {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nqu")
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("a body that never ends keeps its connection: %v", err)
	}
}

// A handler's panic closes its connection, and no log holds its value.
func TestPanicOfAHandler(t *testing.T) {
	const secret = "kaede-7391"
	var log text
	s := listen(t, Options{Log: logTo(&log)})
	run(t, s, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("bad answer: " + secret)
		}
		_, _ = io.WriteString(w, "whole")
	})
	if body, err := get(s.URL() + "/panic"); err == nil {
		t.Errorf("answered %q", body)
	}
	if body, err := get(s.URL()); body != "whole" {
		t.Error(body, err)
	}
	if said := log.String(); strings.Contains(said, secret) || !strings.Contains(said, "type=string") {
		t.Error(said)
	}
}

// A thousand connections that say nothing, or trickle, keep nobody out; an answer under way is not closed for them.
func TestCrowdKeepsNobodyOut(t *testing.T) {
	s := listen(t, Options{})
	finish, entered := make(chan struct{}), make(chan struct{}, 1)
	run(t, s, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-finish
		}
		_, _ = io.WriteString(w, "whole")
	})
	slow := make(chan string, 1)
	go func() {
		body, err := get(s.URL() + "/slow")
		slow <- fmt.Sprint(body, " ", err)
	}()
	<-entered
	for i := range 1000 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		switch i % 3 {
		case 1:
			_, _ = io.WriteString(conn, "GET / HTT")
		case 2:
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nqu")
		}
	}
	began := time.Now()
	if body, err := get(s.URL()); body != "whole" {
		t.Error(body, err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the crowd delays a request by %v", took)
	}
	close(finish)
	if got := <-slow; got != "whole <nil>" {
		t.Error("the answer under way: ", got)
	}
}
