package escalation

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"so8t/contract"
	"so8t/disk"
	"so8t/serve/panics"
)

// Pauses between two tries while the server is away.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// callTimeout bounds a call to the server.
const callTimeout = 5 * time.Second

// Run connects to the server, whenever that comes up, starts the workflows of the cases in the outbox, and works on them
// until ctx ends.
func (d *Desk) Run(ctx context.Context) {
	temporal, err := d.connect(ctx)
	if err != nil {
		return // ctx has ended
	}
	defer temporal.Close()
	d.temporal.Store(&temporal)
	defer d.temporal.Store(nil)
	started := make(chan struct{})
	go func() {
		defer close(started)
		defer panics.Recover(d.options.Log, "starting escalations", nil)
		d.startAll(ctx, temporal)
	}()
	d.work(ctx, temporal)
	<-started
}

func (d *Desk) connect(ctx context.Context) (client.Client, error) {
	for tries := 0; ; tries++ {
		temporal, err := client.DialContext(ctx, d.options.Temporal)
		if err == nil {
			d.options.Log.Info("escalations: connected", "server", d.options.Temporal.HostPort, "namespace", d.options.Temporal.Namespace)
			return temporal, nil
		}
		if tries%30 == 0 && ctx.Err() == nil {
			d.options.Log.Warn("escalations wait in the outbox for the Temporal server", "server", d.options.Temporal.HostPort, "error", err)
		}
		if !sleep(ctx, firstPause) {
			return nil, ctx.Err()
		}
	}
}

// work polls the queue for the workflows and their activity.
func (d *Desk) work(ctx context.Context, temporal client.Client) {
	for ctx.Err() == nil {
		fatal := make(chan error, 1)
		w := worker.New(temporal, contract.EscalationQueue, worker.Options{
			WorkerStopTimeout:            callTimeout,
			StickyScheduleToStartTimeout: time.Second, // short: replaying a history is cheaper than waiting for a worker that is gone
			OnFatalError: func(err error) {
				select {
				case fatal <- err:
				default:
				}
			},
		})
		d.options.Workflows(w)
		w.RegisterActivityWithOptions(d.RecordDecision, activity.RegisterOptions{Name: contract.RecordDecision})
		err := w.Start()
		if err == nil {
			select {
			case <-ctx.Done():
			case err = <-fatal:
			}
			w.Stop()
		}
		if err != nil {
			d.options.Log.Warn("the worker of escalations has ended and is started anew", "error", err)
			sleep(ctx, 2*firstPause)
		}
	}
}

// startAll starts the workflows of all cases in the outbox, now and as they come.
func (d *Desk) startAll(ctx context.Context, temporal client.Client) {
	pause := firstPause
	for {
		err := d.startQueued(ctx, temporal)
		if ctx.Err() != nil {
			return
		}
		var again <-chan time.Time // never, unless a case is left
		if err == nil {
			pause = firstPause
		} else {
			d.options.Log.Warn("a case stays in the outbox", "again_in", pause.String(), "error", err)
			again = time.After(pause)
			pause = min(2*pause, lastPause)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.queued:
		case <-again:
		}
	}
}

// startQueued tries each case in the outbox once, and returns the last error: a case that cannot be started does not hold
// up the others.
func (d *Desk) startQueued(ctx context.Context, temporal client.Client) (last error) {
	ids, err := d.outbox.ids()
	if err != nil {
		return err
	}
	for _, id := range ids {
		err := d.start(ctx, temporal, id)
		if err != nil {
			last = err
		}
		if unreachable(err) {
			return err
		}
	}
	return last
}

// start starts a case's workflow, unless it has been started before, and then removes the case.
func (d *Desk) start(ctx context.Context, temporal client.Client, id string) error {
	in, err := d.outbox.get(id)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: contract.EscalationQueue, StaticSummary: "Decide about " + in.RequestID,
		Memo:                                     map[string]any{contract.MemoOwner: in.Key},
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, contract.Escalation, in)
	var before *serviceerror.WorkflowExecutionAlreadyStarted
	if err != nil && !errors.As(err, &before) {
		return err
	}
	disk.Crash("escalation.started")
	d.options.Log.Info("escalation started", "request", in.RequestID)
	return d.outbox.remove(id)
}

func unreachable(err error) bool {
	var away *serviceerror.Unavailable
	var late *serviceerror.DeadlineExceeded
	return errors.As(err, &away) || errors.As(err, &late) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// sleep reports whether ctx still goes on after the pause.
func sleep(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}
