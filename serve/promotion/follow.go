package promotion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"so8t/native"
)

// Run loads the model and follows the link until ctx ends; then it closes the model when its last user has gone. It
// returns an error only if the first model cannot be loaded.
func (f *Follower) Run(ctx context.Context) error {
	at, err := look(f.o.Link)
	if err != nil {
		return err
	}
	m, err := f.open(ctx, at)
	if err != nil {
		return err
	}
	f.take(ctx, m, at)
	defer func() { f.retire(f.withdraw(false)) }()
	ticks := time.NewTicker(f.o.Every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.nudge:
		case <-ticks.C:
		}
		f.follow(ctx, f.reload.Swap(false))
	}
}

// follow loads what the link leads to, if that is new, or if the current model has failed.
func (f *Follower) follow(ctx context.Context, reload bool) {
	at, err := look(f.o.Link)
	if err != nil {
		if !f.lost {
			f.o.Log.Warn("the link leads to no model; the old one stays", "error", err)
		}
		f.lost = true
		return
	}
	f.lost = false
	failed := f.failed()
	switch {
	case failed && at == f.refused:
		at = f.served
	case failed:
	case at.path == f.served.path && at.stamp == f.served.stamp: // nothing new, or the link moved back
		f.served = at
		return
	case reload:
	case at.path == f.served.path && at.moves == f.served.moves, at == f.refused:
		return
	}
	if err := f.replace(ctx, at, failed); err != nil && ctx.Err() == nil {
		f.refuse(ctx, at, err)
	}
}

// failed reports whether there is no current model, or one that answers no longer.
func (f *Follower) failed() bool {
	f.mu.Lock()
	h := f.current
	f.mu.Unlock()
	if h == nil {
		return true
	}
	err := h.Err()
	if err != nil {
		f.o.Log.Error("the model has failed and is loaded again", "model", h.Digest(), "error", err)
	}
	return err != nil
}

// replace puts the model at a place in the stead of the current one.
func (f *Follower) replace(ctx context.Context, at place, failed bool) error {
	need, err := f.o.Need(at.path) // also where nothing hangs on it: a folder that holds no model is no reason to drain
	if err != nil {
		return err
	}
	if failed || !f.beside(need) {
		return f.replaceDrained(ctx, at)
	}
	m, err := f.open(ctx, at)
	if errors.Is(err, native.ErrMemory) && f.o.Beside == Auto {
		return f.replaceDrained(ctx, at)
	}
	if err != nil {
		return err
	}
	f.retire(f.take(ctx, m, at))
	return nil
}

// beside reports whether a model that needs so much memory is loaded beside the current one.
func (f *Follower) beside(need int64) bool {
	if f.o.Beside != Auto {
		return f.o.Beside == Always
	}
	free, err := available()
	if err != nil {
		f.o.Log.Warn("the free memory is unknown: the old model is drained first", "error", err)
		return false
	}
	return need <= free
}

// replaceDrained closes the current model before the new one is loaded. Where that fails the old one is loaded again.
func (f *Follower) replaceDrained(ctx context.Context, at place) error {
	old := f.served
	f.retire(f.withdraw(true))
	m, err := f.open(ctx, at)
	if err == nil {
		f.take(ctx, m, at)
		return nil
	}
	if m, again := f.open(ctx, old); again == nil {
		f.take(ctx, m, old)
	} else {
		err = errors.Join(err, fmt.Errorf("the old model: %w", again))
		f.install(nil)
	}
	return err
}

// take installs a model that was found at a place, and returns the one before.
func (f *Follower) take(ctx context.Context, m Loaded, at place) (before *held) {
	f.o.Log.Info("the model answers", "model", m.Digest(), "path", at.path)
	f.note(ctx, "promotion", map[string]string{"model": m.Digest(), "path": at.path})
	f.served = at
	return f.install(m)
}

// refuse remembers a model that was not taken.
func (f *Follower) refuse(ctx context.Context, at place, err error) {
	if at != f.refused {
		f.note(ctx, "model_refused", map[string]string{"path": at.path, "reason": err.Error()})
	}
	f.o.Log.Error("the model is refused", "path", at.path, "error", err)
	f.refused = at
}

func (f *Follower) note(ctx context.Context, kind string, detail map[string]string) {
	if f.o.Note != nil {
		f.o.Note(ctx, kind, detail)
	}
}

// open loads the model at a place and tries it.
func (f *Follower) open(ctx context.Context, at place) (Loaded, error) {
	before, err := stampOf(at.path)
	if err != nil {
		return nil, err
	}
	m, err := f.o.Open(ctx, at.path)
	if err != nil {
		return nil, err
	}
	if err = f.try(ctx, m); err == nil {
		err = unchanged(at.path, before)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}
