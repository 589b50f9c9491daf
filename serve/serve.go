// Package serve is the process around a server's routes: listeners that a crowd cannot block, an orderly end, and nothing
// of what was thought in a core dump, a log or a panic.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"so8t/serve/panics"
)

// Options of a Server.
type Options struct {
	Address         string
	LoopbackOnly    bool   // fail if Address is bound to anything else
	TLSCert, TLSKey string // PEM files; both empty: plain HTTP
	InternalAddress string // for metrics; empty: not served
	Drain           time.Duration
	Log             *slog.Logger
}

// Bounds on what a client may take up. There is none on the time of an answer: its own deadline ends it.
const (
	maxConnections    = 512
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	lastWords         = 5 * time.Second // for telling clients that their answers end here
)

// ErrStopping is the cause with which the context of a request ends that outlasts the drain.
var ErrStopping = errors.New("the server is stopping")

// Server has its addresses, and answers nothing yet.
type Server struct {
	o                Options
	public, internal net.Listener
	certificate      atomic.Pointer[tls.Certificate]
	draining         atomic.Bool
	running          atomic.Int64 // requests
	readTimeout      time.Duration
}

// Listen binds the addresses.
func Listen(o Options) (*Server, error) {
	s := &Server{o: o, readTimeout: readTimeout}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("serve.address: %w", err)
	}
	if at, ok := listener.Addr().(*net.TCPAddr); o.LoopbackOnly && (!ok || !at.IP.IsLoopback()) {
		_ = listener.Close()
		return nil, fmt.Errorf("serve.address: %s is %v, which is no loopback address; without serve.keys_file only this host may ask", o.Address, listener.Addr())
	}
	s.public = &connections{Listener: listener, most: maxConnections}
	if o.TLSCert != "" {
		s.public = tls.NewListener(s.public, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.Load(), nil }})
	}
	if o.InternalAddress != "" {
		if s.internal, err = net.Listen("tcp", o.InternalAddress); err != nil {
			s.Close()
			return nil, fmt.Errorf("serve.metrics_address: %w", err)
		}
	}
	return s, nil
}

// Reload reads the TLS certificate again. On an error the old one stays.
func (s *Server) Reload() error {
	if s.o.TLSCert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(s.o.TLSCert, s.o.TLSKey)
	if err != nil {
		return fmt.Errorf("serve.tls_cert, serve.tls_key: %w", err)
	}
	s.certificate.Store(&pair)
	return nil
}

// URL is that of the public routes.
func (s *Server) URL() string {
	if s.o.TLSCert != "" {
		return "https://" + s.public.Addr().String()
	}
	return "http://" + s.public.Addr().String()
}

// InternalURL is that of the metrics, empty if they are not served.
func (s *Server) InternalURL() string {
	if s.internal == nil {
		return ""
	}
	return "http://" + s.internal.Addr().String()
}

// Draining reports whether the server is about to stop and takes no new questions.
func (s *Server) Draining() bool { return s.draining.Load() }

// Close frees the addresses of a server that does not run.
func (s *Server) Close() {
	for _, l := range []net.Listener{s.public, s.internal} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// Run serves until ctx ends. Then Draining holds, requests under way have Drain to end, and those that have not ended are
// cancelled with ErrStopping.
func (s *Server) Run(ctx context.Context, public, internal http.Handler) error {
	working, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	servers := []*http.Server{s.server(working, s.counted(public))}
	listeners := []net.Listener{s.public}
	if s.internal != nil {
		servers, listeners = append(servers, s.server(working, internal)), append(listeners, s.internal)
	}
	failed := make(chan error, len(servers))
	for i, server := range servers {
		go func() { failed <- server.Serve(listeners[i]) }()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.o.Log.Info("draining", "requests", s.running.Load(), "within", s.o.Drain.String())
	s.untilQuiet(s.o.Drain)
	stop(ErrStopping)
	s.untilQuiet(lastWords)
	for _, server := range servers {
		last, end := context.WithTimeout(context.Background(), time.Second)
		_ = server.Shutdown(last)
		_ = server.Close()
		end()
	}
	return err
}

// untilQuiet returns when no request is under way, at the latest after patience.
func (s *Server) untilQuiet(patience time.Duration) {
	for end := time.Now().Add(patience); s.running.Load() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *Server) server(base context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler: s.recovered(reading(h)), BaseContext: func(net.Listener) context.Context { return base }, ConnContext: withConnection,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: s.readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
}

func (s *Server) counted(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.running.Add(1)
		defer s.running.Add(-1)
		inner.ServeHTTP(w, r)
	})
}

// recovered ends a handler's panic without its value: net/http would log it. The connection is closed.
func (s *Server) recovered(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer panics.Recover(s.o.Log, "request", func() { panic(http.ErrAbortHandler) })
		inner.ServeHTTP(w, r)
	})
}
