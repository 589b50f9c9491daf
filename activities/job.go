package activities

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"go.temporal.io/sdk/activity"

	"so8t/contract"
)

// job is one activity at work on a run: its heartbeat, its log and its hold on the output
// directory.
type job struct {
	run  contract.Run
	log  *slog.Logger
	beat *beat

	file  *os.File
	lock  *flock.Flock
	stops <-chan struct{} // closed when the worker is to stop
	leave func()
}

// begin takes up work on a run; end must be called if it returns no error. An earlier
// attempt that is only thought dead, in this process or in another, is waited for.
func (a *Activities) begin(ctx context.Context, run contract.Run) (*job, error) {
	j := &job{run: run, stops: activity.GetWorkerStopChannel(ctx), leave: func() {}}
	if a.Tasks != nil {
		token := activity.GetInfo(ctx).TaskToken
		a.Tasks.Begin(token)
		j.leave = func() { a.Tasks.End(token) }
	}
	j.beat = newBeat(ctx, a.Temporal)
	if err := j.open(ctx, a.Log); err != nil {
		j.end()
		return nil, fail(contract.ErrConfig, err)
	}
	return j, nil
}

func (j *job) open(ctx context.Context, process *slog.Logger) error {
	if err := os.MkdirAll(filepath.Join(j.run.OutputDir, "logs"), 0o755); err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	name := filepath.Join(j.run.OutputDir, "logs", fileName(j.run.WorkflowID)+".log")
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("run log: %w", err)
	}
	j.file = file
	j.log = slog.New(both{process.Handler(), slog.NewTextHandler(file, nil)}).With("workflow", j.run.WorkflowID)
	j.lock = flock.New(filepath.Join(j.run.OutputDir, ".lock"))
	for waited := false; ; waited = true {
		ok, err := j.lock.TryLock()
		if err != nil {
			return fmt.Errorf("lock output directory: %w", err)
		}
		if ok {
			return nil
		}
		if !waited {
			j.log.Info("waiting for an earlier attempt to leave the output directory", "dir", j.run.OutputDir)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock output directory: %w", context.Cause(ctx))
		case <-j.stops:
			return context.Canceled
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (j *job) end() {
	j.leave()
	j.beat.end()
	if j.lock != nil {
		_ = j.lock.Close() // gives the lock back
	}
	if j.file != nil {
		_ = j.file.Close()
	}
}

// path of a file in the output directory.
func (j *job) path(parts ...string) string {
	return filepath.Join(append([]string{j.run.OutputDir}, parts...)...)
}

// workerStops reports whether this process has been told to stop.
func (j *job) workerStops() bool {
	select {
	case <-j.stops:
		return true
	default:
		return false
	}
}

// untilStopped is ctx, ended also by the worker's stop.
func (j *job) untilStopped(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-j.stops:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// fileName makes a workflow id fit for a file's name.
func fileName(id string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r < ' ' {
			return '_'
		}
		return r
	}, id)
}

// both writes each record to two handlers.
type both struct{ a, b slog.Handler }

func (h both) Enabled(ctx context.Context, l slog.Level) bool {
	return h.a.Enabled(ctx, l) || h.b.Enabled(ctx, l)
}

func (h both) Handle(ctx context.Context, r slog.Record) error {
	if h.a.Enabled(ctx, r.Level) {
		_ = h.a.Handle(ctx, r.Clone()) // a log that cannot be written stops no training
	}
	if h.b.Enabled(ctx, r.Level) {
		_ = h.b.Handle(ctx, r)
	}
	return nil
}

func (h both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{h.a.WithAttrs(attrs), h.b.WithAttrs(attrs)}
}
func (h both) WithGroup(name string) slog.Handler {
	return both{h.a.WithGroup(name), h.b.WithGroup(name)}
}
