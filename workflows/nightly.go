package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// Search attributes that a Temporal Schedule sets on the workflows it starts.
var (
	scheduledAt = temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime")
	scheduledBy = temporal.NewSearchAttributeKeyKeyword("TemporalScheduledById")
)

// claimInput is the input of the claim. For a nightly run it holds the night's time: the time for which the
// run was scheduled, however late it began, or its start time if a person started it.
func (r *run) claimInput(ctx workflow.Context, existing bool) contract.ClaimInput {
	in := contract.ClaimInput{RunInput: r.input, Existing: existing}
	if in.Nightly == nil {
		return in
	}
	known := workflow.GetTypedSearchAttributes(ctx)
	if at, ok := known.GetTime(scheduledAt); ok {
		in.ScheduledAt = at
	} else {
		in.ScheduledAt = workflow.GetInfo(ctx).WorkflowStartTime
	}
	in.ScheduledBy, _ = known.GetKeyword(scheduledBy)
	return in
}
