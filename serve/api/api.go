// Package api serves a guard over HTTP: POST /think, OpenAI's chat completions, and a page to try both.
//
// It sees what the guard lets through and nothing else of a model. It keeps to two rules of its own:
//
//   - Text of a request or an answer goes into the reply's body alone: no error, header, log line or metric holds any.
//   - A status is sent when the guard's verdict is known, or with the first keep-alive of a stream. Until then an error
//     gets its own status; later it is an event of the stream, which then has no [DONE].
package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
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

// Values of Options.Usage.
const (
	UsageVisible = "visible" // tokens of the visible answer
	UsageAll     = "all"     // the thinking's too, as reasoning_tokens: its length shows
	UsageNone    = "none"    // no token counts
)

// Options of a Server.
type Options struct {
	Answerer    Answerer
	Escalations Escalations   // nil: the route answers 404
	Ready       func() error  // why requests are refused, told if it is a *guard.Error; nil: ready
	Model       func() string // digest of the current model, "" while there is none
	ModelName   string        // id in /v1/models
	Keys        *Keys         // nil: no key is asked for
	Loopback    bool          // bound to a loopback address: other host names are refused, against DNS rebinding
	InFlight    int           // requests answered or waiting at once; more get 429; 0: no limit
	Rate        float64       // requests a second, of a key or, without keys, of a remote address; 0: no limit
	Burst       int           // requests at once within Rate; 0: those of one second, at least 1
	Body        int64         // most bytes of a body; 0: 1 MiB
	Deadline    time.Duration // of a request; 0: 120 s
	Usage       string        // UsageVisible if empty
	Metrics     *Metrics      // nil: counted, and served by nobody
	Log         *slog.Logger  // nil: nothing is logged
}

// Server is the handler of all public routes.
type Server struct {
	o         Options
	metrics   *Metrics
	limiter   *limiter
	origins   *http.CrossOriginProtection
	inFlight  atomic.Int64
	started   time.Time
	keepAlive time.Duration // between two comments of a stream that has no text yet
}

// New returns the handler of all public routes.
func New(o Options) *Server {
	if o.Body == 0 {
		o.Body = 1 << 20
	}
	if o.Deadline == 0 {
		o.Deadline = 120 * time.Second
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Model == nil {
		o.Model = func() string { return "" }
	}
	if o.Usage == "" {
		o.Usage = UsageVisible
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, metrics: o.Metrics, limiter: newLimiter(o.Rate, o.Burst), origins: http.NewCrossOriginProtection(),
		started: time.Now(), keepAlive: 5 * time.Second}
	s.metrics.watch(s.inFlight.Load, o.Model)
	return s
}
