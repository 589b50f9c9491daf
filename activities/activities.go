// Package activities adapts the packages that do the work to Temporal: heartbeats,
// cancellation, typed errors, the run's log and its lock. One file holds one activity.
package activities

import (
	"context"
	"log/slog"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"so8t/contract"
)

// Temporal is what activities ask of the server; client.Client is one.
type Temporal interface {
	RecordActivityHeartbeat(ctx context.Context, taskToken []byte, details ...any) error
	SignalWorkflow(ctx context.Context, workflowID, runID, signalName string, arg any) error
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
}

// Activities of one worker process.
type Activities struct {
	Temporal Temporal
	Host     string // names the queues that run where this process's files are
	Log      *slog.Logger
	// SearchAttributes reports whether the server knows contract.SearchAttributes; asked for
	// each run, since a server can be replaced by a fresh one. nil: it does not.
	SearchAttributes func(context.Context) bool

	training registry
	rooms    rooms
}

// RegisterShared adds what any worker can do.
func (a *Activities) RegisterShared(r worker.ActivityRegistry) {
	r.RegisterActivityWithOptions(a.Claim, activity.RegisterOptions{Name: contract.Claim})
}

// RegisterHost adds what is done beside a training epoch, on its host.
func (a *Activities) RegisterHost(r worker.ActivityRegistry) {
	r.RegisterActivityWithOptions(a.Split, activity.RegisterOptions{Name: contract.Split})
	r.RegisterActivityWithOptions(a.Compare, activity.RegisterOptions{Name: contract.Compare})
	r.RegisterActivityWithOptions(a.SaveNow, activity.RegisterOptions{Name: contract.SaveNow})
}

// RegisterDevice adds what needs the device for itself.
func (a *Activities) RegisterDevice(r worker.ActivityRegistry) {
	r.RegisterActivityWithOptions(a.Train, activity.RegisterOptions{Name: contract.Train})
	r.RegisterActivityWithOptions(a.Export, activity.RegisterOptions{Name: contract.Export})
	r.RegisterActivityWithOptions(a.Evaluate, activity.RegisterOptions{Name: contract.Evaluate})
}
