package api

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"so8t/serve/guard"
)

// listen serves the answerer as the process does.
func listen(t *testing.T, a Answerer) (h *house, server *HTTPServer, address string) {
	t.Helper()
	h = open(t, a, func(o *Options) { o.InFlight = 80 })
	server = NewHTTPServer(h, slog.New(slog.NewTextHandler(h.log, nil)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	h.url = "http://" + l.Addr().String()
	return h, server, l.Addr().String()
}

// A thousand connections that never finish their headers, or their bodies, do not keep out a request from the same address.
func TestSlowConnectionsStopNobody(t *testing.T) {
	for name, beginning := range map[string]string{
		"headers": "POST /think HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
		"bodies":  "POST /think HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			begun, release := make(chan struct{}), make(chan struct{})
			h, server, address := listen(t, &fake{answer: func(_ context.Context, r guard.Request, sink guard.Sink) (guard.Result, error) {
				if r.User == "early" {
					close(begun)
					<-release
				}
				return play(sink, allowed, "はい")
			}})
			early := make(chan int)
			go func() {
				r, err := http.Post(h.url+"/think", "application/json", strings.NewReader(`{"user_id":"early","query":"q"}`))
				if err != nil {
					early <- 0
					return
				}
				r.Body.Close()
				early <- r.StatusCode
			}()
			<-begun
			var turnedAway atomic.Int64
			for range 1000 {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				fmt.Fprint(c, beginning)
				go func() {
					if _, err := c.Read(make([]byte, 1)); err != nil {
						turnedAway.Add(1)
					}
				}()
			}
			waitFor(t, func() bool { return turnedAway.Load() >= 1000-maxConnections })
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
			slowest := time.Duration(0)
			for range 20 {
				begun := time.Now()
				r, err := client.Post(h.url+"/think", "application/json", strings.NewReader(thinkWith(`"top_p":1`)))
				if err != nil {
					t.Fatal(err)
				}
				r.Body.Close()
				if r.StatusCode != http.StatusOK {
					t.Fatal(r.Status)
				}
				slowest = max(slowest, time.Since(begun))
			}
			t.Logf("slowest of 20 requests: %v; %d connections turned away", slowest, turnedAway.Load())
			if slowest > 2*time.Second { // the header timeout is 5 s: with a bound that waits, requests took as long
				t.Errorf("a request took %v", slowest)
			}
			close(release)
			if status := <-early; status != http.StatusOK {
				t.Errorf("an answer under way: %d", status)
			}
			server.connections.mu.Lock()
			defer server.connections.mu.Unlock()
			if n := len(server.connections.open); n > maxConnections {
				t.Errorf("%d connections are open", n)
			}
		})
	}
}

// Whoever holds most of the waiting connections loses one, not whoever waits longest.
func TestTheLargestGroupIsTurnedAway(t *testing.T) {
	all := &connections{limit: 3, open: map[*connection]bool{}}
	admit := func(from string) *connection { return all.admit(addressed{from}) }
	alone, a, b := admit("192.0.2.1:1"), admit("192.0.2.9:1"), admit("192.0.2.9:2")
	c := admit("192.0.2.9:3")
	if !all.open[alone] || all.open[a] || !all.open[b] || !all.open[c] {
		t.Error("not the longest waiting one of the largest group")
	}
	for _, x := range []*connection{alone, b, c} {
		answering(context.WithValue(t.Context(), connectionKey{}, x))
	}
	if admit("192.0.2.1:2") != nil {
		t.Error("a connection that is being answered was turned away")
	}
	all.state(b, http.StateIdle)
	if admit("192.0.2.1:2") == nil || all.open[b] {
		t.Error("a connection between two requests keeps others out")
	}
}

type addressed struct{ address string }

func (addressed) Read([]byte) (int, error)         { return 0, io.EOF }
func (addressed) Write([]byte) (int, error)        { return 0, io.EOF }
func (addressed) Close() error                     { return nil }
func (addressed) LocalAddr() net.Addr              { return nil }
func (a addressed) RemoteAddr() net.Addr           { return a }
func (addressed) SetDeadline(time.Time) error      { return nil }
func (addressed) SetReadDeadline(time.Time) error  { return nil }
func (addressed) SetWriteDeadline(time.Time) error { return nil }
func (addressed) Network() string                  { return "tcp" }
func (a addressed) String() string                 { return a.address }

// An answer may take longer than a request may take to arrive.
func TestReadTimeoutDoesNotEndAnAnswer(t *testing.T) {
	h, server, _ := listen(t, &fake{answer: func(ctx context.Context, _ guard.Request, sink guard.Sink) (guard.Result, error) {
		select {
		case <-ctx.Done():
			return guard.Result{}, ctx.Err()
		case <-time.After(600 * time.Millisecond):
			return play(sink, allowed, "はい")
		}
	}})
	server.server.ReadTimeout = 200 * time.Millisecond
	if r := h.think(t, "q"); r.StatusCode != http.StatusOK {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /think HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || r.StatusCode != http.StatusRequestTimeout {
		t.Errorf("a body that never ends: %v %v", r, err)
	}
}

// A client that does not read loses its connection: each write has a deadline, streams have none as a whole.
func TestEachWriteHasADeadline(t *testing.T) {
	w := &deadlines{}
	x := newExchange(w, nil)
	_ = x.write([]byte("a"))
	if wait := time.Until(w.deadline); wait < writeDeadline-time.Second || wait > writeDeadline {
		t.Errorf("deadline of a write: %v", wait)
	}
}

type deadlines struct {
	http.ResponseWriter
	deadline time.Time
}

func (d *deadlines) Write(p []byte) (int, error)         { return len(p), nil }
func (d *deadlines) SetWriteDeadline(at time.Time) error { d.deadline = at; return nil }

// What net/http refuses by itself holds none of the request either, in its reply or in the log.
func TestMalformedRequestsAreNotQuoted(t *testing.T) {
	h, _, address := listen(t, &fake{})
	for _, text := range []string{
		canaryWord + "\r\n\r\n", "GET /" + canaryWord + " HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nHost: " + canaryWord + " \x01\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n" + canaryWord + " : 1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat(canaryWord, 4000) + "\r\n\r\n",
		"POST /think HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + canaryWord + "\r\n\r\n",
		"POST /think HTTP/1.1\r\nHost: a\r\nContent-Length: " + canaryWord + "\r\n\r\n",
		"GET /%zz" + canaryWord + " HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?a;" + canaryWord + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		canaryWord + " / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"POST /think HTTP/1.1\r\nHost: a\r\nExpect: " + canaryWord + "\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, text)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		body, err := io.ReadAll(c)
		c.Close()
		if len(body) == 0 || strings.Contains(string(body), canaryWord) {
			t.Errorf("%.60q: %v %q", text, err, body)
		}
	}
	if strings.Contains(h.log.String(), canaryWord) {
		t.Error(h.log.String())
	}
	fmt.Fprint(quietLog{slog.New(slog.NewTextHandler(h.log, nil))}, "http: TLS handshake error from 192.0.2.1:5: "+canaryWord)
	if log := h.log.String(); strings.Contains(log, canaryWord) || !strings.Contains(log, `of="TLS handshake error"`) {
		t.Error(log)
	}
}

func TestTLS(t *testing.T) {
	lent := httptest.NewTLSServer(nil) // its certificate, and a client that trusts it
	defer lent.Close()
	certificate := lent.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}, "key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var server *HTTPServer
	waiting := -1
	h := open(t, &fake{answer: func(_ context.Context, _ guard.Request, sink guard.Sink) (guard.Result, error) {
		server.connections.mu.Lock()
		waiting = 0
		for c := range server.connections.open {
			if c.waiting {
				waiting++
			}
		}
		server.connections.mu.Unlock()
		return play(sink, allowed, "はい")
	}}, nil)
	server = NewHTTPServer(h, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.ServeTLS(l, filepath.Join(folder, "cert"), filepath.Join(folder, "key")) }()
	defer server.Close()
	r, err := lent.Client().Post("https://"+l.Addr().String()+"/think", "application/json", strings.NewReader(thinkWith(`"top_p":1`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK || r.Proto != "HTTP/1.1" || waiting != 0 {
		t.Errorf("%s %s, %d connections waiting during the answer", r.Proto, r.Status, waiting)
	}
}

func TestShutdownWaitsForAnswers(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	h, server, _ := listen(t, &fake{answer: func(_ context.Context, _ guard.Request, sink guard.Sink) (guard.Result, error) {
		close(begun)
		<-release
		return play(sink, allowed, "はい")
	}})
	answered := make(chan int)
	go func() { answered <- h.think(t, "q").StatusCode }()
	<-begun
	down := make(chan error)
	go func() { down <- server.Shutdown(t.Context()) }()
	select {
	case err := <-down:
		t.Fatal("shut down under an answer", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if status := <-answered; status != http.StatusOK {
		t.Error(status)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}
