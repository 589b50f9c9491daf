package api

import (
	"errors"
	"net"
	"net/http"
	"strings"

	"so8t/serve/guard"
)

// route is a path and what serves it. A path that ends in / stands for everything below it; the root stands for itself.
type route struct {
	method  string
	path    string
	name    string // in logs and metrics
	keyless bool
	serve   func(s *Server, x *exchange, below string) *failure
}

var routes = []route{
	{"GET", "/", "/", true, servePage("page.html", "text/html; charset=utf-8")},
	{"GET", "/page.css", "/page.css", true, servePage("page.css", "text/css; charset=utf-8")},
	{"GET", "/page.js", "/page.js", true, servePage("page.js", "text/javascript; charset=utf-8")},
	{"GET", "/healthz", "/healthz", true, (*Server).healthy},
	{"GET", "/readyz", "/readyz", true, (*Server).ready},
	{"POST", "/think", "/think", false, (*Server).think},
	{"POST", "/v1/chat/completions", "/v1/chat/completions", false, (*Server).chat},
	{"GET", "/v1/models", "/v1/models", false, (*Server).models},
	{"GET", "/v1/models/", "/v1/models/{id}", false, (*Server).model},
	{"GET", "/v1/escalations/", "/v1/escalations/{id}", false, (*Server).escalation},
}

// find returns the route of a path, and what of the path is below it. Paths are compared as they are: a
// redirect to a tidied path would repeat the request's.
func find(path string) (*route, string) {
	for i := range routes {
		r := &routes[i]
		if path == r.path {
			return r, ""
		}
		if below, is := strings.CutPrefix(path, r.path); is && r.path != "/" && strings.HasSuffix(r.path, "/") {
			return r, below
		}
	}
	return nil, ""
}

// ServeHTTP answers a request, logs it and counts it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(w, r)
	defer s.finish(x)
	defer s.recover(x)
	h := w.Header()
	h.Set("X-Request-Id", x.id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if f := s.dispatch(x); f != nil {
		x.fail(f)
	}
}

// dispatch admits a request and hands it to its route.
func (s *Server) dispatch(x *exchange) *failure {
	r, below := find(x.request.URL.Path)
	x.route = "none"
	if r != nil {
		x.route = r.name
	}
	if f := s.admitBrowser(x); f != nil {
		return f
	}
	if r == nil {
		return failed(http.StatusNotFound, invalidRequest, "not_found", "there is no such route")
	}
	method := x.request.Method
	if method != r.method && (method != "HEAD" || r.method != "GET") {
		f := failed(http.StatusMethodNotAllowed, invalidRequest, "method_not_allowed", "the route takes "+r.method+" only")
		f.allow = r.method
		if r.method == "GET" {
			f.allow = "GET, HEAD"
		}
		return f
	}
	if r.method == "GET" {
		answering(x.request.Context())
	}
	if !r.keyless {
		if f := s.admit(x); f != nil {
			return f
		}
	}
	return r.serve(s, x, below)
}

// admitBrowser refuses what a page of another site makes a browser send.
func (s *Server) admitBrowser(x *exchange) *failure {
	if s.o.Loopback && !loopback(x.request.Host) {
		return failed(http.StatusForbidden, invalidRequest, "host_not_allowed",
			"the server is bound to a loopback address and is asked by another name: use localhost or the address")
	}
	if s.origins.Check(x.request) != nil {
		return failed(http.StatusForbidden, invalidRequest, "cross_origin", "a page of another origin may not ask")
	}
	return nil
}

// loopback reports whether a Host header names the machine itself.
func loopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

// admit asks for a key, where there are keys, and keeps to the rate of whoever sent it.
func (s *Server) admit(x *exchange) *failure {
	who := remote(x.request.RemoteAddr)
	if s.o.Keys != nil {
		key, ok := s.o.Keys.find(x.bearer())
		if !ok {
			return failed(http.StatusUnauthorized, authentication, "invalid_api_key", "the API key is missing or unknown: send Authorization: Bearer KEY")
		}
		x.key, who = key, key.Name
	}
	if wait := s.limiter.wait(who); wait > 0 {
		return failed(http.StatusTooManyRequests, rateLimit, "rate_limit_exceeded", "too many requests: wait as Retry-After says").after(wait)
	}
	return nil
}

func (s *Server) healthy(x *exchange, _ string) *failure {
	x.reply(http.StatusOK, map[string]string{"status": "alive"})
	return nil
}

func (s *Server) ready(x *exchange, _ string) *failure {
	if f := s.notReady(); f != nil {
		return f
	}
	x.reply(http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

func (s *Server) notReady() *failure {
	err := s.o.Ready()
	if err == nil {
		return nil
	}
	f := failed(http.StatusServiceUnavailable, serverError, "loading", "the model is being loaded")
	if told := (*guard.Error)(nil); errors.As(err, &told) {
		f.Code, f.Message = told.Code, told.Message
	}
	f.cause = causeOf(err)
	return f.after(retryUnavailable)
}
