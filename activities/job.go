package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"so8t/contract"
	"so8t/disk"
)

// job is one activity at work on a run: its heartbeat, its log and its hold on the output
// directory.
type job struct {
	run   contract.Run
	log   *slog.Logger
	beat  *beat
	lease *disk.Lease // nothing is put in place without it

	starts int             // of this work in this place, without progress
	stops  <-chan struct{} // closed when the worker is to stop
	ended  []func()        // last first
}

// begin takes up work on a run; end must be called if it returns no error. The context
// ends with ctx, and when somebody else takes the output directory.
func (a *Activities) begin(ctx context.Context, run contract.Run) (*job, context.Context, error) {
	j := &job{run: run, stops: activity.GetWorkerStopChannel(ctx)}
	j.beat = newBeat(ctx, a.Temporal)
	j.ended = append(j.ended, j.beat.end)
	held, err := j.open(ctx, a)
	if err != nil {
		j.end()
		return nil, ctx, j.outcome(ctx, err)
	}
	return j, held, nil
}

func (j *job) open(ctx context.Context, a *Activities) (context.Context, error) {
	if err := disk.MakeDir(filepath.Join(j.run.OutputDir, "logs")); err != nil {
		return nil, fmt.Errorf("output directory: %w", err)
	}
	name := filepath.Join(j.run.OutputDir, "logs", fileName(j.run.WorkflowID)+".log")
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("run log: %w", err)
	}
	j.ended = append(j.ended, func() { _ = file.Close() })
	j.log = slog.New(both{a.Log.Handler(), slog.NewTextHandler(file, nil)}).With("workflow", j.run.WorkflowID)

	// An earlier attempt in this process leaves before long; two at once would need twice the memory.
	leave, err := a.rooms.enter(ctx, j.run.OutputDir)
	if err != nil {
		return nil, err
	}
	j.ended = append(j.ended, leave)
	j.lease, err = disk.AcquireLease(ctx, j.path("checkpoints"), j.claimant(ctx))
	var held *disk.HeldError
	if errors.As(err, &held) && held.Holder.Owner != j.run.WorkflowID {
		err = fail(contract.ErrOutputInUse, err)
	}
	if err != nil {
		return nil, err
	}
	j.ended = append(j.ended, func() { _ = j.lease.Release() }) // one that is left behind ends with the process

	ctx, cancel := context.WithCancelCause(ctx)
	j.ended = append(j.ended, func() { cancel(nil) })
	go func() {
		select {
		case <-j.lease.Lost():
			cancel(j.lease.Check())
		case <-ctx.Done():
		}
	}()
	return ctx, nil
}

// claimant is this activity as it asks for leases.
func (j *job) claimant(ctx context.Context) disk.Claimant {
	return disk.Claimant{Owner: j.run.WorkflowID,
		Attempt: activity.GetInfo(ctx).StartedTime.UnixMicro(), // by the server's clock: also after a reset, a later start is a later attempt
		Timeout: time.Duration(j.run.Config.Checkpoint.HeartbeatTimeoutSeconds) * time.Second}
}

func (j *job) end() {
	for i := len(j.ended) - 1; i >= 0; i-- {
		j.ended[i]()
	}
	disk.Crash("activity.ends")
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

// rooms lets one activity of this process at a time into an output directory.
type rooms struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when its holder leaves
}

func (r *rooms) enter(ctx context.Context, dir string) (leave func(), err error) {
	for {
		r.mu.Lock()
		inside, taken := r.taken[dir]
		if !taken {
			mine := make(chan struct{})
			if r.taken == nil {
				r.taken = map[string]chan struct{}{}
			}
			r.taken[dir] = mine
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				delete(r.taken, dir)
				r.mu.Unlock()
				close(mine)
			}, nil
		}
		r.mu.Unlock()
		select {
		case <-inside:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for an earlier attempt to leave %s: %w", dir, context.Cause(ctx))
		case <-activity.GetWorkerStopChannel(ctx):
			return nil, context.Canceled
		}
	}
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
