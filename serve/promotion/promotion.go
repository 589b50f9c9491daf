// Package promotion follows final_model/current: a promoted model is loaded, tried, and takes over without a request
// being lost.
package promotion

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"so8t/serve/guard"
)

// Loaded is a model that can be closed.
type Loaded interface {
	guard.Model
	Err() error // why it answers no longer; nil: it does
	Close() error
}

// Values of Options.Beside: whether a promoted model is loaded beside the old one, or once that is drained and closed.
const (
	Auto   = "auto" // beside, if there is memory for both
	Always = "always"
	Never  = "never"
)

// Options of a Follower.
type Options struct {
	Link    string        // folder of a model, or a link that moves to the promoted one
	Every   time.Duration // between two looks at Link; 0: 5 s
	Wait    time.Duration // for a model, while one is drained and the next loaded; 0: 2 min
	Beside  string        // Auto, Always, Never; empty: Auto
	Open    func(ctx context.Context, path string) (Loaded, error)
	Need    func(path string) (bytes int64, err error)                       // memory of a model
	Prompts []string                                                         // a model must answer these in the form; none: two of this package
	Note    func(ctx context.Context, kind string, detail map[string]string) // for the audit log: promotion, model_refused
	Log     *slog.Logger
}

// Follower implements guard.Models.
type Follower struct {
	o      Options
	nudge  chan struct{} // one slot: look at Link now
	reload atomic.Bool   // at the next look, as Reload says

	// Of the goroutine of Run.
	served  place // where the current model was found
	refused place // what was not taken, and is not tried again until it changes
	lost    bool  // Link leads nowhere, and this was logged

	mu      sync.Mutex
	current *held
	gap     chan struct{} // closed when there is a model again; nil: there is no gap
}

// held is a model and the number of those who use it.
type held struct {
	Loaded
	users   int
	retired bool
	idle    chan struct{} // closed when it is retired and nobody uses it
}

// New returns a Follower that has no model yet.
func New(o Options) *Follower {
	if o.Every == 0 {
		o.Every = 5 * time.Second
	}
	if o.Wait == 0 {
		o.Wait = 2 * time.Minute
	}
	if o.Beside == "" {
		o.Beside = Auto
	}
	if len(o.Prompts) == 0 {
		o.Prompts = prompts
	}
	return &Follower{o: o, nudge: make(chan struct{}, 1)}
}

// Acquire returns the current model. While one is drained and the next loaded it waits.
func (f *Follower) Acquire() (guard.Model, func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for deadline := time.Now().Add(f.o.Wait); f.gap != nil; {
		if !f.await(f.gap, time.Until(deadline)) {
			return nil, nil, guard.ErrLoading
		}
	}
	h := f.current
	if h == nil {
		return nil, nil, guard.ErrLoading
	}
	h.users++
	return h.Loaded, sync.OnceFunc(func() { f.release(h) }), nil
}

// await waits for the end of a gap, without mu.
func (f *Follower) await(gap chan struct{}, most time.Duration) bool {
	f.mu.Unlock()
	defer f.mu.Lock()
	expired := time.NewTimer(most)
	defer expired.Stop()
	select {
	case <-gap:
		return true
	case <-expired.C:
		return false
	}
}

func (f *Follower) release(h *held) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.users--; h.retired && h.users == 0 {
		close(h.idle)
	}
	if h.Err() != nil {
		f.look()
	}
}

// Ready returns guard.ErrLoading while there is no model.
func (f *Follower) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil && f.gap == nil {
		return guard.ErrLoading
	}
	return nil
}

// Digest is the current model's; empty if there is none.
func (f *Follower) Digest() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil {
		return ""
	}
	return f.current.Digest()
}

// Reload loads what Link leads to, also if only its files have changed, or if it was refused. A model that is served as it
// lies there stays.
func (f *Follower) Reload() {
	f.reload.Store(true)
	f.look()
}

// look has Run look at Link now.
func (f *Follower) look() {
	select {
	case f.nudge <- struct{}{}:
	default:
	}
}

// install makes a model the current one, and returns the one before. A gap ends.
func (f *Follower) install(m Loaded) (before *held) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.current = f.current, nil
	if m != nil {
		f.current = &held{Loaded: m, idle: make(chan struct{})}
	}
	if f.gap != nil {
		close(f.gap)
		f.gap = nil
	}
	return before
}

// withdraw takes the current model away. With gap, those who ask wait for the next install.
func (f *Follower) withdraw(gap bool) (before *held) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.current = f.current, nil
	if gap {
		f.gap = make(chan struct{})
	}
	return before
}

// retire closes a model when its last user has gone.
func (f *Follower) retire(h *held) {
	if h == nil {
		return
	}
	f.mu.Lock()
	if h.retired = true; h.users == 0 {
		close(h.idle)
	}
	f.mu.Unlock()
	<-h.idle
	if err := h.Close(); err != nil {
		f.o.Log.Error("closing a model", "model", h.Digest(), "error", err)
	}
}
