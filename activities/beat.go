package activities

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"

	"so8t/contract"
)

// beat keeps an activity alive and its reader informed, from a goroutine of its own.
//
// activity.RecordHeartbeat is unfit for hours of training: when the server is away for
// longer than about ten seconds the SDK cancels the activity, whatever its heartbeat
// timeout, and meanwhile the call blocks the training loop. Here an absent server is
// ignored until the timeout itself has passed, and nothing waits.
type beat struct {
	mu      sync.Mutex
	news    contract.Progress
	fresh   bool // not yet told to the workflow
	stop    func()
	stopped sync.WaitGroup
}

const (
	longestBeat = 5 * time.Second
	// A run signals its workflow about this many times, each for four events of its history.
	signalsOfARun   = 200
	shortestSilence = 5 * time.Second
	longestSilence  = 5 * time.Minute
)

// newBeat starts beating for the activity of ctx. end must be called.
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

// tell replaces the news; it returns at once.
func (b *beat) tell(p contract.Progress) {
	p.At = time.Now().UTC()
	b.mu.Lock()
	b.news, b.fresh = p, true
	b.mu.Unlock()
}

func (b *beat) latest() (contract.Progress, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news, b.fresh
}

func (b *beat) loop(ctx context.Context, server Temporal, info activity.Info, every time.Duration, stopping chan struct{}) {
	started := time.Now()
	var beaten, signalled time.Time
	tick := time.NewTicker(min(every, time.Second))
	defer tick.Stop()
	for {
		news, fresh := b.latest()
		if time.Since(beaten) >= every {
			beaten = time.Now()
			if !alive(ctx, server, info.TaskToken, news, every) {
				// Once through the SDK, so that it cancels ctx with the server's reason.
				activity.RecordHeartbeat(ctx, news)
				return
			}
		}
		if fresh && time.Since(signalled) >= silence(time.Since(started), news.SecondsLeft) {
			sctx, cancel := context.WithTimeout(ctx, every)
			err := server.SignalWorkflow(sctx, info.WorkflowExecution.ID, info.WorkflowExecution.RunID, contract.SignalProgress, news)
			cancel()
			if err == nil {
				signalled = time.Now()
				b.mu.Lock()
				b.fresh = b.news != news
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

// alive sends one heartbeat; it is false when the server answers that the activity is to
// end: cancelled, paused, reset, timed out or unknown.
func alive(ctx context.Context, server Temporal, token []byte, news contract.Progress, within time.Duration) bool {
	hctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := server.RecordActivityHeartbeat(hctx, token, news)
	var (
		away    *serviceerror.Unavailable
		late    *serviceerror.DeadlineExceeded
		crowded *serviceerror.ResourceExhausted
	)
	return err == nil || ctx.Err() != nil ||
		errors.As(err, &away) || errors.As(err, &late) || errors.As(err, &crowded) ||
		errors.Is(err, context.DeadlineExceeded)
}

// silence between two signals, so that a run of any length makes about signalsOfARun.
func silence(elapsed time.Duration, secondsLeft float64) time.Duration {
	whole := elapsed + time.Duration(secondsLeft*float64(time.Second))
	return min(max(whole/signalsOfARun, shortestSilence), longestSilence)
}
