package activities

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"

	"so8t/contract"
)

// beat sends an activity's heartbeats and progress from a goroutine of its own.
//
// activity.RecordHeartbeat does not suit hours of training: if the server is unreachable for
// about ten seconds, the SDK cancels the activity whatever its heartbeat timeout, and until
// then the call blocks the training loop. Here an unreachable server is ignored, so that only
// the heartbeat timeout counts, and the training loop never waits.
type beat struct {
	mu       sync.Mutex
	progress contract.Progress
	fresh    bool // not yet sent to the workflow
	stop     func()
	stopped  sync.WaitGroup
}

const (
	longestBeat = 5 * time.Second
	// A run signals its workflow about this often; each signal adds four events to its history.
	signalsPerRun     = 200
	minSignalInterval = 5 * time.Second
	maxSignalInterval = 5 * time.Minute
)

// newBeat starts the heartbeats of the activity of ctx. end must be called.
func newBeat(ctx context.Context, server Temporal) *beat {
	every := longestBeat
	if timeout := activity.GetInfo(ctx).HeartbeatTimeout; timeout > 0 {
		every = min(every, timeout/4)
	}
	return newBeatEvery(ctx, server, every)
}

func newBeatEvery(ctx context.Context, server Temporal, every time.Duration) *beat {
	b := &beat{}
	info := activity.GetInfo(ctx)
	stopping := make(chan struct{})
	b.stop = sync.OnceFunc(func() { close(stopping) })
	b.stopped.Add(1)
	go func() {
		defer b.stopped.Done()
		b.loop(ctx, server, info, every, stopping)
	}()
	return b
}

func (b *beat) end() {
	b.stop()
	b.stopped.Wait()
}

// tell replaces the progress to send; it returns at once.
func (b *beat) tell(p contract.Progress) {
	p.At = time.Now().UTC()
	b.mu.Lock()
	b.progress, b.fresh = p, true
	b.mu.Unlock()
}

func (b *beat) latest() (contract.Progress, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.progress, b.fresh
}

func (b *beat) loop(ctx context.Context, server Temporal, info activity.Info, every time.Duration, stopping chan struct{}) {
	started := time.Now()
	var beaten, signalled time.Time
	tick := time.NewTicker(min(every, time.Second))
	defer tick.Stop()
	for {
		progress, fresh := b.latest()
		if time.Since(beaten) >= every {
			beaten = time.Now()
			if !alive(ctx, server, info.TaskToken, progress, every) {
				// Once through the SDK, so that it cancels ctx with the server's reason.
				activity.RecordHeartbeat(ctx, progress)
				return
			}
		}
		if fresh && time.Since(signalled) >= signalInterval(time.Since(started), progress.SecondsLeft) {
			sctx, cancel := context.WithTimeout(ctx, every)
			err := server.SignalWorkflow(sctx, info.WorkflowExecution.ID, info.WorkflowExecution.RunID, contract.SignalProgress, progress)
			cancel()
			if err == nil {
				signalled = time.Now()
				b.mu.Lock()
				b.fresh = !reflect.DeepEqual(b.progress, progress)
				b.mu.Unlock()
			}
		}
		select {
		case <-stopping:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// alive sends one heartbeat. It is false if the server answers that the activity must end, because it
// is cancelled, paused, reset, timed out or unknown.
func alive(ctx context.Context, server Temporal, token []byte, progress contract.Progress, within time.Duration) bool {
	hctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := server.RecordActivityHeartbeat(hctx, token, progress)
	var (
		away    *serviceerror.Unavailable
		late    *serviceerror.DeadlineExceeded
		crowded *serviceerror.ResourceExhausted
	)
	return err == nil || ctx.Err() != nil ||
		errors.As(err, &away) || errors.As(err, &late) || errors.As(err, &crowded) ||
		errors.Is(err, context.DeadlineExceeded)
}

// signalInterval spaces the signals so that a run of any length sends about signalsPerRun.
func signalInterval(elapsed time.Duration, secondsLeft float64) time.Duration {
	whole := elapsed + time.Duration(secondsLeft*float64(time.Second))
	return min(max(whole/signalsPerRun, minSignalInterval), maxSignalInterval)
}
