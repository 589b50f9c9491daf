package serve

import (
	"container/list"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// connections is a listener with a bound on open connections. When another one comes, the oldest whose request has not
// been read whole is closed for it, so that neither silence nor bodies that trickle in keep others out.
type connections struct {
	net.Listener
	most int
	mu   sync.Mutex
	open list.List // of *connection, in the order of their arrival
}

type connection struct {
	net.Conn
	all       *connections
	place     *list.Element
	answering atomic.Int32 // requests that were read whole and are being answered; several in HTTP/2
}

func (l *connections) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &connection{Conn: conn, all: l}
		if l.admit(c) {
			return c, nil
		}
		_ = conn.Close() // all that are open are being answered
	}
}

func (l *connections) admit(c *connection) bool {
	l.mu.Lock()
	var silent *connection
	for e := l.open.Front(); e != nil && l.open.Len() >= l.most && silent == nil; e = e.Next() {
		if open := e.Value.(*connection); open.answering.Load() == 0 {
			silent = open
		}
	}
	room := l.open.Len() < l.most || silent != nil
	if room {
		c.place = l.open.PushBack(c)
	}
	l.mu.Unlock()
	if silent != nil {
		_ = silent.Close()
	}
	return room
}

func (c *connection) Close() error {
	c.all.mu.Lock()
	c.all.open.Remove(c.place)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

type connectionKey struct{}

// withConnection is http.Server's ConnContext: handlers find their connection in their context.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, connectionKey{}, conn)
}

// body notes when a request has been read whole.
type body struct {
	io.ReadCloser
	whole func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && b.whole != nil {
		b.whole()
		b.whole = nil
	}
	return n, err
}

// reading marks the connection of a request that has been read whole: until then it may be closed for another.
func reading(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connectionKey{}).(*connection)
		if !ok {
			inner.ServeHTTP(w, r)
			return
		}
		counted := false
		whole := func() {
			counted = true
			c.answering.Add(1)
		}
		defer func() {
			if counted {
				c.answering.Add(-1)
			}
		}()
		if r.Body == http.NoBody {
			whole()
		} else {
			r.Body = &body{r.Body, whole}
		}
		inner.ServeHTTP(w, r)
	})
}
