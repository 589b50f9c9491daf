package workflows

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// longHistory is the number of events from which training goes on in a new execution. The
// server suggests one at 4,096 events and ends a run at 51,200; a shorter history is read
// in a moment by the next worker, and by a person. An epoch makes 7 events, the progress
// signals of a run about 800.
const longHistory = 1000

func (r *run) historyIsLong(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return (info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() >= longHistory) &&
		// A long run that began before there were new executions stays in its one.
		workflow.GetVersion(ctx, "continue-as-new", workflow.DefaultVersion, 1) == 1
}

// renew ends this execution for a new one, which goes on with the epoch that was to begin.
// Whoever asked something has the answer first, and what was asked in the last instant takes
// effect. When that is stop it returns nil: what is left to do is short.
func (r *run) renew(ctx workflow.Context) error {
	r.renewing = true
	defer func() { r.renewing = false }()
	// Signals of this instant are with their receivers, which run before this newest coroutine.
	received := false
	workflow.Go(ctx, func(workflow.Context) { received = true })
	err := workflow.Await(ctx, func() bool {
		return r.stopping || received && r.signals == 0 && workflow.AllHandlersFinished(ctx)
	})
	switch {
	case ctx.Err() != nil:
		return cancelled()
	case err != nil:
		return err
	case r.stopping:
		return nil
	}
	info := workflow.GetInfo(ctx)
	carried, err := json.Marshal(contract.Carried{From: info.WorkflowExecution.RunID,
		Claimed: r.claimed, Dataset: r.dataset, Result: r.result, Progress: r.progress, Notes: r.notes[max(0, len(r.notes)-newestNotes):],
		Resumes: r.resumes, Paused: r.paused, Why: r.why, Epoch: r.epoch})
	if err != nil {
		return fmt.Errorf("continue as new: %w", err)
	}
	return workflow.NewContinueAsNewError(ctx, info.WorkflowType.Name, r.raw, json.RawMessage(carried))
}

// takeOver puts the run where the execution before it left it. The server sets the
// predecessor's run id; nobody who starts a run can.
func (r *run) takeOver(ctx workflow.Context, raw json.RawMessage) error {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	before := workflow.GetInfo(ctx).ContinuedExecutionRunID
	if before == "" {
		return temporal.NewNonRetryableApplicationError("input: more than one argument: "+contract.InputForm, contract.ErrConfig, nil)
	}
	var c contract.Carried
	if err := json.Unmarshal(raw, &c); err != nil {
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("input: what the execution %s carried over: %v", before, err), contract.ErrConfig, nil)
	}
	if c.From != before {
		return nil // a retry, or a cron's next run: it gets its predecessor's arguments, and begins anew
	}
	r.claimed, r.dataset, r.result, r.progress, r.notes = c.Claimed, c.Dataset, c.Result, c.Progress, c.Notes
	r.resumes, r.paused, r.why, r.epoch = c.Resumes, c.Paused, c.Why, c.Epoch
	return nil
}
