package api

import (
	"context"
	"net"
)

// Under has the context of every request end with ctx, and with its cause. It is called before Serve.
func (s *HTTPServer) Under(ctx context.Context) {
	s.server.BaseContext = func(net.Listener) context.Context { return ctx }
}
