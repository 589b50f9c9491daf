package workflows

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// longHistory is the number of events from which training continues as new. The server suggests it at
// 4,096 events and ends a run at 51,200; a shorter history replays in a moment and can be read.
// An epoch makes 7 events, the progress signals of a run about 800.
const longHistory = 1000

func (r *run) historyIsLong(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return (info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() >= longHistory) &&
		// A run that passed this point under code without continue-as-new stays in its execution.
		workflow.GetVersion(ctx, "continue-as-new", workflow.DefaultVersion, 1) == 1
}

// renew continues as new, from the epoch that was about to begin. Updates are answered first, and commands
// that arrive at the last moment take effect. It returns nil if one of them is stop: little is left to do.
func (r *run) renew(ctx workflow.Context) error {
	r.renewing = true
	defer func() { r.renewing = false }()
	// Signals that have arrived are received before this newest coroutine runs.
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

// takeOver restores the state of the execution before this one. Only the server can set the predecessor's
// run id, so nobody can start a run from a state of their own.
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
		return nil // a retry or a cron's next run has its predecessor's arguments, but starts from the beginning
	}
	r.claimed, r.dataset, r.result, r.progress, r.notes = c.Claimed, c.Dataset, c.Result, c.Progress, c.Notes
	r.resumes, r.paused, r.why, r.epoch = c.Resumes, c.Paused, c.Why, c.Epoch
	return nil
}
