// Package promotion follows final_model/current: a promoted model is loaded, tried, and takes over without a request
// being lost.
package promotion

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"so8t/serve/guard"
)

// Loaded is a model that can be closed.
type Loaded interface {
	guard.Model
	Close() error
}

// Options of a Follower.
type Options struct {
	Link    string // folder of a model, or a link that moves to the promoted one
	Every   time.Duration
	Beside  string // auto, always, never: whether the new model is loaded beside the old one or after draining it
	Open    func(ctx context.Context, path string) (Loaded, error)
	Need    func(path string) (bytes int64, err error)                       // memory of a model, for auto
	Prompts []string                                                         // the new model must answer these in the form
	Note    func(ctx context.Context, kind string, detail map[string]string) // for the audit log: promotion, model_refused
	Log     *slog.Logger
}

// Follower implements guard.Models.
type Follower struct{}

// New returns a Follower that has no model yet.
func New(o Options) *Follower { return &Follower{} }

// Run loads the model and follows the link until ctx ends. It returns early only if the first model cannot be loaded.
func (f *Follower) Run(ctx context.Context) error { return errors.New("not built yet") }

// Acquire returns the current model.
func (f *Follower) Acquire() (guard.Model, func(), error) { return nil, nil, guard.ErrLoading }
