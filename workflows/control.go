package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// verb is a command that a person gives a run, as an update, which returns an answer, or as a signal.
type verb struct {
	name, description string
	allowed           func() error
	do                func(workflow.Context) (string, error)
}

func (r *run) verbs() []verb {
	return []verb{
		{contract.VerbPause, "Save the state and free the machine; resume goes on at the exact step", r.mayPause, r.doPause},
		{contract.VerbResume, "Go on after a pause or a failure", r.mayResume, r.doResume},
		{contract.VerbCheckpoint, "Write a checkpoint after the present step and keep training", r.mayCheckpoint, r.doCheckpoint},
		{contract.VerbStop, "End training after the present step; export and evaluate what there is", r.mayStop, r.doStop},
	}
}

// listen registers the query, the updates and the signals.
func (r *run) listen(ctx workflow.Context) error {
	err := workflow.SetQueryHandlerWithOptions(ctx, contract.QueryProgress, func() (contract.Progress, error) { return r.view(), nil },
		workflow.QueryHandlerOptions{Description: "Phase, epoch, step, loss, speed, time left, last checkpoint"})
	if err != nil {
		return err
	}
	for _, v := range r.verbs() {
		err := workflow.SetUpdateHandlerWithOptions(ctx, v.name,
			func(ctx workflow.Context) (string, error) {
				answer, err := v.do(ctx)
				r.page(ctx)
				return answer, err
			},
			workflow.UpdateHandlerOptions{
				Description: v.description,
				Validator:   func(workflow.Context) error { return v.allowed() },
			})
		if err != nil {
			return err
		}
		asked := workflow.GetSignalChannelWithOptions(ctx, v.name, workflow.SignalChannelOptions{Description: v.description})
		workflow.Go(ctx, func(ctx workflow.Context) {
			for {
				asked.Receive(ctx, nil)
				if err := v.allowed(); err != nil {
					workflow.GetLogger(ctx).Warn("signal ignored", "signal", v.name, "reason", err.Error())
					continue
				}
				r.signals++
				workflow.Go(ctx, func(ctx workflow.Context) {
					defer func() { r.signals-- }()
					if _, err := v.do(ctx); err != nil {
						workflow.GetLogger(ctx).Warn("signal failed", "signal", v.name, "error", err.Error())
					}
					r.page(ctx)
				})
			}
		})
	}
	reports := workflow.GetSignalChannelWithOptions(ctx, contract.SignalProgress,
		workflow.SignalChannelOptions{Description: "Sent by the worker: how far it is"})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var p contract.Progress
			reports.Receive(ctx, &p)
			r.heard(p)
			r.page(ctx)
		}
	})
	return nil
}

func (r *run) over() bool { return r.ended != nil || r.progress.Phase == contract.PhaseDone }

func (r *run) mayPause() error {
	if r.over() {
		return errors.New("the run has ended")
	}
	if r.paused {
		return errors.New("already paused")
	}
	return nil
}

func (r *run) mayResume() error {
	if !r.paused {
		return errors.New("not paused")
	}
	return nil
}

func (r *run) mayCheckpoint() error {
	if r.paused {
		return errors.New("paused: the state is on disk already")
	}
	if r.progress.Phase != contract.PhaseTrain || r.ended != nil {
		return fmt.Errorf("not training at present (phase: %s)", r.progress.Phase)
	}
	return nil
}

func (r *run) mayStop() error {
	if r.stopping {
		return errors.New("already stopping")
	}
	if r.progress.Phase != contract.PhaseTrain {
		return fmt.Errorf("not training at present (phase: %s); to give the run up, cancel it", r.progress.Phase)
	}
	return nil
}

// pause stops the next activity from starting. why is empty if a person asked for the pause.
func (r *run) pause(why string) { r.paused, r.why = true, why }

func (r *run) doPause(ctx workflow.Context) (string, error) {
	r.pause("")
	r.interrupt()
	r.page(ctx)
	if err := workflow.Await(ctx, func() bool { return !r.working || !r.paused }); err != nil {
		return "", err
	}
	if !r.paused {
		return "resumed before the pause took hold", nil
	}
	return "paused " + r.position(), nil
}

func (r *run) doResume(ctx workflow.Context) (string, error) {
	r.paused, r.why = false, ""
	r.resumes++
	return "resumed " + r.position(), nil
}

// doCheckpoint asks the process that trains to save. Training that pauses or ends meanwhile has
// written a checkpoint anyway.
func (r *run) doCheckpoint(ctx workflow.Context) (string, error) {
	asking, cancel := workflow.WithCancel(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              contract.HostQueue(r.claimed.Run.Host),
		Summary:                "on request",
		ScheduleToCloseTimeout: time.Hour, // a step of a large model takes long on a CPU
		HeartbeatTimeout:       r.silence(),
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, MaximumInterval: 5 * time.Second},
	}))
	defer cancel()
	answer := workflow.ExecuteActivity(asking, contract.SaveNow, contract.SaveNowInput{WorkflowID: r.claimed.Run.WorkflowID})
	err := workflow.Await(ctx, func() bool {
		return answer.IsReady() || r.paused || r.progress.Phase != contract.PhaseTrain || r.renewing || r.ended != nil
	})
	if err != nil {
		return "", err
	}
	if !answer.IsReady() {
		return "training has come to a halt, with its state on disk", nil
	}
	var saved contract.SaveNowResult
	if err := answer.Get(ctx, &saved); err != nil {
		return "", errors.New(reason(err))
	}
	r.progress.Checkpoint, r.progress.CheckpointAt = saved.Checkpoint, workflow.Now(ctx)
	return fmt.Sprintf("saved %s: epoch %d, step %d", saved.Checkpoint, saved.Epoch, saved.Step), nil
}

func (r *run) doStop(ctx workflow.Context) (string, error) {
	r.stopping, r.paused, r.why = true, false, ""
	r.interrupt()
	r.page(ctx)
	err := workflow.Await(ctx, func() bool { return r.progress.Phase != contract.PhaseTrain || r.ended != nil })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("training stopped after step %d; export, evaluation and comparison follow", r.progress.Step), nil
}

// position describes how far the run is.
func (r *run) position() string {
	if r.progress.Step == 0 {
		return "in phase " + r.progress.Phase
	}
	return fmt.Sprintf("in phase %s, epoch %d, step %d of %d", r.progress.Phase, r.progress.Epoch, r.progress.Step, r.progress.Steps)
}
