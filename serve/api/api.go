// Package api serves a guard over HTTP: /think, OpenAI's chat completions, and a page to try it.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"so8t/serve/escalation"
	"so8t/serve/guard"
)

// Answerer is *guard.Guard.
type Answerer interface {
	Answer(ctx context.Context, r guard.Request, sink guard.Sink) (guard.Result, error)
}

// Escalations is *escalation.Desk.
type Escalations interface {
	Status(ctx context.Context, key, id string) (escalation.Status, error)
}

// Options of a Server.
type Options struct {
	Answerer    Answerer
	Escalations Escalations   // nil: the route answers 404
	Ready       func() error  // why requests are refused; nil: ready
	Model       func() string // digest of the current model, for the page and /v1/models
	ModelName   string        // id in /v1/models
	Keys        *Keys         // nil: no key is asked for
	InFlight    int           // requests answered or waiting at once; more get 429
	Rate        float64       // requests a second and key; 0: no limit
	Burst       int
	Body        int64         // most bytes of a body; 0: 1 MiB
	Deadline    time.Duration // of a request; 0: 120 s
	Usage       string        // visible, all, none
	Log         *slog.Logger
}

// Keys are API keys by name, known by their SHA-256.
type Keys struct{}

// Server is the handler of all public routes.
type Server struct{ http.Handler }

// New returns the handler of all public routes.
func New(o Options) *Server { return &Server{http.NotFoundHandler()} }
