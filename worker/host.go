package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"so8t/disk"
)

// host is this process's lease on the task queues of one host. A second worker of the same name
// stands by until the first is gone or has stopped renewing its lease: two would train on
// one device at once, and a request to the process that trains could reach the other one.
//
// Beside the lease lies a file of the tasks that the process works on, from which its successor
// learns what a killed process left undone.
type host struct {
	lease *disk.Lease
	dir   string
	path  string // of the file of tasks
}

const tasksPrefix = "tasks-"

// waitForHost returns once this process is the only one that works on the host's queues. It
// replaces a process that has not renewed its lease for as long as patience.
func waitForHost(ctx context.Context, o client.Options, name string, patience time.Duration, logger *slog.Logger) (*host, error) {
	key := sha256.Sum256([]byte(o.HostPort + "\x00" + o.Namespace + "\x00" + name))
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("so8t-worker-%d-%s", os.Getuid(), hex.EncodeToString(key[:8])))
	self := rand.Text()
	h := &host{dir: dir, path: filepath.Join(dir, tasksPrefix+self)}
	for waited := false; ; waited = true {
		lease, err := disk.AcquireLease(ctx, dir, disk.Claimant{Owner: "worker " + self[:6], Timeout: patience})
		var held *disk.HeldError
		switch {
		case err == nil:
			h.lease = lease
			return h, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.As(err, &held):
			return nil, fmt.Errorf("take host %s: %w", name, err)
		case !waited:
			logger.Info("another worker runs on this host's queues; standing by until it is gone", "host", name, "process", held.Holder.PID)
		}
	}
}

func (h *host) release() {
	_ = os.Remove(h.path)
	_ = h.lease.Release()
}

// failer is the part of a Temporal client that fails tasks by their tokens.
type failer interface {
	CompleteActivity(ctx context.Context, taskToken []byte, result any, err error) error
	WorkflowService() workflowservice.WorkflowServiceClient
}

// failLeftovers fails the tasks of predecessors that died or did not answer, so that the server
// retries them now and not after its timeouts.
func (h *host) failLeftovers(ctx context.Context, server failer, namespace string, logger *slog.Logger) {
	files, _ := filepath.Glob(filepath.Join(h.dir, tasksPrefix+"*"))
	for _, file := range files {
		var list []task
		if file == h.path || disk.ReadJSON(file, &list) != nil {
			continue
		}
		for _, t := range list {
			if t.Workflow {
				_, _ = server.WorkflowService().RespondWorkflowTaskFailed(ctx, &workflowservice.RespondWorkflowTaskFailedRequest{
					TaskToken: t.Token, Namespace: namespace, Cause: enums.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE})
				continue
			}
			err := server.CompleteActivity(ctx, t.Token, nil, temporal.NewApplicationErrorWithOptions("the worker died; the next one goes on", "WorkerDied",
				temporal.ApplicationErrorOptions{NextRetryDelay: 100 * time.Millisecond}))
			logger.Info("took over from a worker that died", "told_the_server", err == nil)
		}
		_ = os.Remove(file)
	}
}
