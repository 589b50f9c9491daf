package api

import (
	"context"
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxConnections bounds the connections that are open at once.
const maxConnections = 512

// HTTPServer serves a handler over HTTP/1.1, with bounds on what a connection may take.
//
// A full house turns away whoever keeps it waiting: a connection is waiting until its request has arrived whole, and again
// between two requests. Where one more comes than may be open, the longest waiting one is closed, of the address that has
// most of them. So clients that never finish their requests stop nobody else, however many they are: a bound that lets the
// next one wait instead (x/net/netutil) would be theirs for the whole header timeout.
type HTTPServer struct {
	server      *http.Server
	connections connections
}

// NewHTTPServer returns a server of h. There is no WriteTimeout: answers take long, and each write has its own deadline.
func NewHTTPServer(h http.Handler, logger *slog.Logger) *HTTPServer {
	s := &HTTPServer{connections: connections{limit: maxConnections, open: map[*connection]bool{}}}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true) // one request at a time on a connection: the bound is one of requests too
	s.server = &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 60 * time.Second,
		MaxHeaderBytes: 16 << 10, Protocols: protocols, ErrorLog: log.New(quietLog{logger}, "", 0),
		ConnContext: withConnection, ConnState: s.connections.state}
	return s
}

// Under has the context of every request end with ctx, and with its cause. It is called before Serve.
func (s *HTTPServer) Under(ctx context.Context) {
	s.server.BaseContext = func(net.Listener) context.Context { return ctx }
}

// Serve accepts connections until the server is closed.
func (s *HTTPServer) Serve(l net.Listener) error { return s.server.Serve(bounded{l, &s.connections}) }

// ServeTLS is Serve over TLS, with a certificate and its key as PEM files.
func (s *HTTPServer) ServeTLS(l net.Listener, certFile, keyFile string) error {
	s.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	return s.server.ServeTLS(bounded{l, &s.connections}, certFile, keyFile)
}

// Shutdown stops accepting, and returns when all requests are answered or ctx ends.
func (s *HTTPServer) Shutdown(ctx context.Context) error { return s.server.Shutdown(ctx) }

// Close ends all connections at once.
func (s *HTTPServer) Close() error { return s.server.Close() }

// quietLog passes on what net/http complains of without what it quotes: a request may stand in it.
type quietLog struct{ log *slog.Logger }

func (q quietLog) Write(line []byte) (int, error) {
	what := "other"
	for _, known := range []string{"http: TLS handshake error", "http: Accept error", "http: panic serving", "http: superfluous response.WriteHeader",
		"http: response.WriteHeader on hijacked connection", "http: URL query contains semicolon", "http: Server.Serve"} {
		if strings.HasPrefix(string(line), known) {
			what = strings.TrimPrefix(known, "http: ")
		}
	}
	q.log.Warn("net/http complains", "of", what)
	return len(line), nil
}

// connections are those that are open.
type connections struct {
	limit int
	mu    sync.Mutex
	open  map[*connection]bool
}

// connection is one of a listener's. The fields are guarded by the mutex of its connections.
type connection struct {
	net.Conn
	all     *connections
	from    string
	since   time.Time // it has been waiting
	waiting bool
}

// bounded is a listener whose connections are counted.
type bounded struct {
	net.Listener
	connections *connections
}

// Accept implements net.Listener.
func (b bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := b.connections.admit(c); admitted != nil {
			return admitted, nil
		}
		c.Close() // all others are being answered
	}
}

// admit takes a connection in, in place of one that is waiting if there is no room; nil if none is.
func (all *connections) admit(c net.Conn) *connection {
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.open) >= all.limit {
		victim := all.longestWaiting()
		if victim == nil {
			return nil
		}
		delete(all.open, victim)
		victim.Conn.Close()
	}
	n := &connection{Conn: c, all: all, from: remote(c.RemoteAddr().String()), since: time.Now(), waiting: true}
	all.open[n] = true
	return n
}

// longestWaiting returns the connection that has waited longest, of the address that has most of them waiting.
func (all *connections) longestWaiting() *connection {
	count := map[string]int{}
	for c := range all.open {
		if c.waiting {
			count[c.from]++
		}
	}
	var found *connection
	for c := range all.open {
		if c.waiting && (found == nil || count[c.from] > count[found.from] || count[c.from] == count[found.from] && c.since.Before(found.since)) {
			found = c
		}
	}
	return found
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// state implements http.Server.ConnState: behind a reply, a connection waits for its next request.
func (all *connections) state(c net.Conn, s http.ConnState) {
	if s != http.StateIdle {
		return
	}
	if own := ownConnection(c); own != nil {
		all.mu.Lock()
		own.waiting, own.since = true, time.Now()
		all.mu.Unlock()
	}
}

// ownConnection finds the counted connection below TLS.
func ownConnection(c net.Conn) *connection {
	if secure, is := c.(*tls.Conn); is {
		c = secure.NetConn()
	}
	own, _ := c.(*connection)
	return own
}

type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, ownConnection(c))
}

// answering notes that a request has arrived whole, so that its connection is not waiting.
func answering(ctx context.Context) {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	if c == nil {
		return
	}
	c.all.mu.Lock()
	c.waiting = false
	c.all.mu.Unlock()
}
