// Package activities adapts the packages that do the work to Temporal: heartbeats,
// cancellation, typed errors, the run's log. Each activity has a file of its own.
package activities

import (
	"context"
	"log/slog"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"so8t/contract"
)

// Temporal is the part of client.Client that activities use.
type Temporal interface {
	RecordActivityHeartbeat(ctx context.Context, taskToken []byte, details ...any) error
	SignalWorkflow(ctx context.Context, workflowID, runID, signalName string, arg any) error
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
}

// Activities are those of one worker process.
type Activities struct {
	Temporal Temporal
	Host     string // names the task queues of the machine that holds this process's files
	Log      *slog.Logger
	// SearchAttributes reports whether the server knows contract.SearchAttributes. It is called for
	// each run, since a server can be replaced by a fresh one. nil means that it does not.
	SearchAttributes func(context.Context) bool

	training registry
	attempts keyedMutex // one at a time in an output directory
}

// RegisterShared adds the activities that any worker can run.
func (a *Activities) RegisterShared(r worker.ActivityRegistry) {
	r.RegisterActivityWithOptions(a.Claim, activity.RegisterOptions{Name: contract.Claim})
}

// RegisterHost adds those that run beside a training epoch, on its host.
func (a *Activities) RegisterHost(r worker.ActivityRegistry) {
	r.RegisterActivityWithOptions(a.Split, activity.RegisterOptions{Name: contract.Split})
	r.RegisterActivityWithOptions(a.Compare, activity.RegisterOptions{Name: contract.Compare})
	r.RegisterActivityWithOptions(a.SaveNow, activity.RegisterOptions{Name: contract.SaveNow})
}

// RegisterDevice adds those that need the device to themselves.
func (a *Activities) RegisterDevice(r worker.ActivityRegistry) {
	r.RegisterActivityWithOptions(a.Train, activity.RegisterOptions{Name: contract.Train})
	r.RegisterActivityWithOptions(a.Export, activity.RegisterOptions{Name: contract.Export})
	r.RegisterActivityWithOptions(a.Evaluate, activity.RegisterOptions{Name: contract.Evaluate})
}
