package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"so8t/contract"
	"so8t/disk"
	"so8t/rundir"
)

// job is one activity at work on a run: its heartbeat, its log and its hold on the output directory.
type job struct {
	*rundir.Dir
	run  contract.Run
	log  *slog.Logger
	beat *beat

	starts int             // of this work in this place, without progress
	stops  <-chan struct{} // closed when the worker must stop
	ended  []func()        // called by end, last first
}

// begin starts work on a run; end must be called unless it returns an error. The context ends with ctx, and
// when another attempt takes the output directory.
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
	layout := rundir.Layout(j.run.OutputDir)
	log, file, err := openLog(layout, j.run.WorkflowID, a.Log.Handler())
	if err != nil {
		return nil, err
	}
	j.log = log
	j.ended = append(j.ended, func() { _ = file.Close() })

	// An earlier attempt in this process ends soon; two at once would need twice the memory.
	unlock, err := a.attempts.lock(ctx, j.run.OutputDir)
	if err != nil {
		return nil, err
	}
	j.ended = append(j.ended, unlock)
	if j.Dir, err = rundir.Open(ctx, j.run, attempt(ctx), j.log); err != nil {
		return nil, directoryError(err, j.run.WorkflowID)
	}
	j.ended = append(j.ended, j.Close)

	ctx, cancel := context.WithCancelCause(ctx)
	j.ended = append(j.ended, func() { cancel(nil) })
	go func() {
		select {
		case <-j.Lease.Lost():
			cancel(j.Lease.Check())
		case <-ctx.Done():
		}
	}()
	return ctx, nil
}

// directoryError gives errors of package rundir their contract type.
func directoryError(err error, workflowID string) error {
	var (
		inUse    *rundir.InUseError
		taken    *rundir.TakenOverError
		held     *disk.HeldError
		other    *rundir.OtherRunError
		unusable *rundir.DirError
	)
	switch {
	case errors.As(err, &inUse), errors.As(err, &taken), errors.As(err, &held) && held.Holder.Owner != workflowID:
		return fail(contract.ErrOutputInUse, err)
	case errors.As(err, &other):
		return fail(contract.ErrOutputOther, err)
	case errors.As(err, &unusable):
		return fail(contract.ErrConfig, err)
	}
	return err
}

// attempt numbers an activity's attempts by the server's clock: after a reset, too, a later start is a later attempt.
func attempt(ctx context.Context) int64 { return activity.GetInfo(ctx).StartedTime.UnixMicro() }

func (j *job) end() {
	for i := len(j.ended) - 1; i >= 0; i-- {
		j.ended[i]()
	}
	disk.Crash("activity.ends")
}

// countStart fails if work has begun too often in this place without progress.
func (j *job) countStart(place string) (err error) {
	if j.starts, err = j.CountStart(place, j.run.Resumes); err != nil {
		return err
	}
	if j.starts > patience {
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf(
			"%s began %d times and got no further: the worker dies there (see its log; is memory short?)", place, patience), contract.ErrNoProgress, nil)
	}
	return nil
}

// forgetStarts is called when an attempt ends in good order.
func (j *job) forgetStarts() {
	if j.Dir != nil { // it may end before it has the directory
		j.ForgetStarts()
	}
}

// workerStops reports whether this process was told to stop.
func (j *job) workerStops() bool {
	select {
	case <-j.stops:
		return true
	default:
		return false
	}
}

// untilStopped is ctx, which also ends when the worker stops.
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
