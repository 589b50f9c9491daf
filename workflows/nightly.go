package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// What a Temporal Schedule sets on the workflows that it starts.
var (
	scheduledAt = temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime")
	scheduledBy = temporal.NewSearchAttributeKeyKeyword("TemporalScheduledById")
)

// claimInput tells a nightly run also which night it is: the one it was scheduled for, even
// where it began late; of a run that was started by hand, the time of its start.
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
