// Package serve is the process around a server's routes: its addresses, an orderly end, and no thinking in a core dump.
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

	"so8t/serve/api"
	"so8t/serve/guard"
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

// lastWords is how long clients have to hear that their answers end here.
const lastWords = 5 * time.Second

// ErrStopping is the cause with which the context of a request ends that outlasts the drain, and what is told to those who
// ask during it.
var ErrStopping = &guard.Error{Kind: guard.Unavailable, Code: "shutting_down", Message: "the server is shutting down"}

// Server has its addresses, and answers nothing yet.
type Server struct {
	o                Options
	public, internal net.Listener
	draining         atomic.Bool
	running          atomic.Int64 // requests
}

// Listen binds the addresses.
func Listen(o Options) (*Server, error) {
	if o.TLSCert != "" { // now, rather than when the model is loaded
		if _, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey); err != nil {
			return nil, fmt.Errorf("serve.tls_cert and serve.tls_key: %w", err)
		}
	}
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("serve.address: %w", err)
	}
	if at, ok := listener.Addr().(*net.TCPAddr); o.LoopbackOnly && (!ok || !at.IP.IsLoopback()) {
		_ = listener.Close()
		return nil, fmt.Errorf("serve.address: %s is %v, which is no loopback address; without serve.keys_file only this host may ask",
			o.Address, listener.Addr())
	}
	s := &Server{o: o, public: listener}
	if o.InternalAddress != "" {
		if s.internal, err = net.Listen("tcp", o.InternalAddress); err != nil {
			s.Close()
			return nil, fmt.Errorf("serve.metrics_address: %w", err)
		}
	}
	return s, nil
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
	servers := []*api.HTTPServer{api.NewHTTPServer(s.counted(public), s.o.Log)}
	if s.internal != nil {
		servers = append(servers, api.NewHTTPServer(internal, s.o.Log))
	}
	failed := make(chan error, len(servers))
	for i, server := range servers {
		server.Under(working)
		go func() {
			defer panics.Recover(s.o.Log, "accepting connections", func() { failed <- errors.New("accepting connections panicked") })
			failed <- s.serve(server, i == 0)
		}()
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

func (s *Server) serve(h *api.HTTPServer, public bool) error {
	switch {
	case !public:
		return h.Serve(s.internal)
	case s.o.TLSCert != "":
		return h.ServeTLS(s.public, s.o.TLSCert, s.o.TLSKey)
	}
	return h.Serve(s.public)
}

// untilQuiet returns when no request is under way, at the latest after patience.
func (s *Server) untilQuiet(patience time.Duration) {
	for end := time.Now().Add(patience); s.running.Load() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *Server) counted(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.running.Add(1)
		defer s.running.Add(-1)
		inner.ServeHTTP(w, r)
	})
}
