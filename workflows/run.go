package workflows

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// run is the state of one workflow. It is small: everything large is on the host's disk.
type run struct {
	raw      json.RawMessage // input, as received
	input    contract.RunInput
	claimed  contract.Claimed
	dataset  contract.SplitResult
	result   contract.Result
	progress contract.Progress
	notes    []string // what was reached so far, oldest first

	epoch   int // current or next, from 1; 0 before the first
	resumes int

	paused    bool
	why       string // reason of a pause; empty if a person asked for it
	stopping  bool
	fresh     bool // repeat evaluations that are on disk
	ended     error
	working   bool   // do has an activity scheduled
	signals   int    // commands by signal that are being handled
	renewing  bool   // the run is about to continue as new
	interrupt func() // cancels do's activity, which saves its state first
}

// step is one activity of the run.
type step struct {
	activity, phase, queue, summary string
	input                           func() any // of the next attempt
	result                          any
	done                            func() bool // nil: done if it returns without error
}

// begin reads the input and what an earlier execution carried over, and only then registers the
// handlers: an update that is waiting runs as soon as its handler exists.
func begin(ctx workflow.Context, raw, carried json.RawMessage) (*run, error) {
	r := &run{raw: raw, interrupt: func() {}}
	var bad error
	if r.input, bad = contract.ParseInput(raw); bad != nil {
		bad = temporal.NewNonRetryableApplicationError(bad.Error(), contract.ErrConfig, nil)
	} else {
		bad = r.takeOver(ctx, carried)
	}
	if err := r.listen(ctx); err != nil {
		return r, err
	}
	return r, bad
}

// end waits until all updates are answered. It returns the run's failure as one line.
func (r *run) end(ctx workflow.Context, err error) error {
	r.ended = err
	if err == nil {
		r.progress.Phase = contract.PhaseDone
		_ = r.attributes(ctx, contract.AttrPhase, contract.PhaseDone) // a run does not fail because of its label
	}
	r.page(ctx)
	quiet, _ := workflow.NewDisconnectedContext(ctx)
	_ = workflow.Await(quiet, func() bool { return workflow.AllHandlersFinished(quiet) })
	var failed *temporal.ApplicationError
	if errors.As(err, &failed) {
		return temporal.NewNonRetryableApplicationError(failed.Message(), failed.Type(), nil)
	}
	return err
}

// deviceQueue is the queue of the device that the claim gave the run.
func (r *run) deviceQueue() string {
	return contract.DeviceQueue(r.claimed.Run.Host, r.claimed.Run.Device)
}

// startedRun is the claimed run, as input of the next activity.
func (r *run) startedRun() contract.Run {
	started := r.claimed.Run
	started.Resumes, started.InputPaths = r.resumes, nil
	return started
}

// do runs a step until it is done, across pauses and failures that a person can repair. It returns early
// only if training is to stop.
func (r *run) do(ctx workflow.Context, s step) error {
	r.enter(ctx, s)
	for {
		if s.phase == contract.PhaseTrain && !r.stopping && r.historyIsLong(ctx) {
			if err := r.renew(ctx); err != nil {
				return err
			}
		}
		if err := r.awaitResume(ctx); err != nil {
			return err
		}
		if r.stopping && s.phase == contract.PhaseTrain {
			return nil
		}
		if s.queue == r.deviceQueue() {
			r.progress.Detail = s.summary + ": waiting for the device of " + r.claimed.Run.Host // until the activity reports
		}
		cancellable, cancel := workflow.WithCancel(workflow.WithActivityOptions(ctx, r.options(s)))
		r.interrupt, r.working = cancel, true
		r.page(ctx)
		err := workflow.ExecuteActivity(cancellable, s.activity, s.input()).Get(ctx, s.result)
		r.interrupt, r.working = func() {}, false

		switch {
		case ctx.Err() != nil:
			return cancelled()
		case err == nil && (s.done == nil || s.done()):
			return nil
		case err == nil, r.interrupted(err):
			// paused or stopping: the next iteration decides
		case typed(err, contract.NeedsPerson()):
			r.pause(reason(err))
		default:
			return err
		}
	}
}

func cancelled() error {
	return temporal.NewCanceledError("cancelled on request; the same workflow id and output directory go on from the newest checkpoint")
}

// interrupted reports whether err is the end of an activity that was interrupted by pause or stop:
// cancelled, or lost with its worker before it could report that.
func (r *run) interrupted(err error) bool {
	return (r.paused || r.stopping) && !typed(err, contract.Fatal()) && !typed(err, contract.NeedsPerson())
}

func (r *run) awaitResume(ctx workflow.Context) error {
	if !r.paused {
		return nil
	}
	r.page(ctx)
	_ = r.attributes(ctx, contract.AttrPhase, "paused")
	if err := workflow.Await(ctx, func() bool { return !r.paused }); err != nil {
		return err
	}
	return r.attributes(ctx, contract.AttrPhase, r.progress.Phase)
}

// enter shows that a step begins.
func (r *run) enter(ctx workflow.Context, s step) {
	if s.phase != r.progress.Phase {
		last := r.progress
		r.progress = contract.Progress{Phase: s.phase}
		if last.Phase == contract.PhaseTrain { // worth showing after training
			r.progress.Epoch, r.progress.Epochs, r.progress.Step, r.progress.Steps = last.Epoch, last.Epochs, last.Step, last.Steps
		}
		_ = r.attributes(ctx, contract.AttrPhase, s.phase)
	}
	r.progress.Detail = s.summary
	r.progress.Done, r.progress.Total, r.progress.GPU = 0, 0, nil
	r.page(ctx)
}

// heard records the progress that an activity reports. Its notice becomes a note, once.
func (r *run) heard(p contract.Progress) {
	if p.Notice != "" && !slices.Contains(r.notes, p.Notice) {
		r.note(p.Notice)
	}
	if p.Phase == r.progress.Phase {
		r.progress = p
	}
}

// options of a step's activity. Neither attempts nor the whole time are limited, as each crash of a worker
// counts as an attempt; the activities notice themselves if they make no progress.
func (r *run) options(s step) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue:           s.queue,
		Summary:             s.summary,
		StartToCloseTimeout: 24 * time.Hour, // of one attempt
		HeartbeatTimeout:    r.silence(),
		WaitForCancellation: true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:        time.Second,
			BackoffCoefficient:     1.5,
			MaximumInterval:        5 * time.Second, // another worker may be ready at once
			NonRetryableErrorTypes: append(contract.Fatal(), contract.NeedsPerson()...),
		},
	}
}

// silence is the heartbeat timeout: how long a worker may be silent before another worker gets its task.
func (r *run) silence() time.Duration {
	if r.claimed.Run.Host == "" {
		return time.Minute // during the claim the config is not known yet
	}
	return r.claimed.Run.Config.Checkpoint.HeartbeatTimeout()
}

// attributes sets a search attribute, if the server has them.
func (r *run) attributes(ctx workflow.Context, name, value string) error {
	if !r.claimed.SearchAttribute {
		return nil
	}
	return workflow.UpsertTypedSearchAttributes(ctx, temporal.NewSearchAttributeKeyKeyword(name).ValueSet(value))
}

func typed(err error, types []string) bool {
	var failed *temporal.ApplicationError
	return errors.As(err, &failed) && slices.Contains(types, failed.Type())
}

func reason(err error) string {
	var failed *temporal.ApplicationError
	if errors.As(err, &failed) {
		return failed.Message()
	}
	return err.Error()
}
