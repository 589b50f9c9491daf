package activities

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/temporal"

	"so8t/configs"
	"so8t/contract"
)

// fakeServer answers as a Temporal server would, from maps and hooks.
type fakeServer struct {
	running map[string]bool // workflow id → is it running; absent: unknown to the server
	beat    func(details ...any) error
	signal  func(arg any) error
}

func (s *fakeServer) RecordActivityHeartbeat(_ context.Context, _ []byte, details ...any) error {
	if s.beat == nil {
		return nil
	}
	return s.beat(details...)
}

func (s *fakeServer) SignalWorkflow(_ context.Context, _, _, _ string, arg any) error {
	if s.signal == nil {
		return nil
	}
	return s.signal(arg)
}

func (s *fakeServer) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	running, known := s.running[id]
	if !known {
		return nil, serviceerror.NewNotFound("no such workflow")
	}
	status := enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
	if running {
		status = enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflow.WorkflowExecutionInfo{Status: status}}, nil
}

func quietActivities(s *fakeServer) *Activities {
	return &Activities{Temporal: s, Host: "h", Log: slog.New(slog.DiscardHandler)}
}

func runOf(dir, workflowID string) contract.Run {
	c := configs.Default()
	return contract.Run{WorkflowID: workflowID, OutputDir: dir, InputPath: "d.jsonl", BaseDigest: "base", Config: c}
}

func errorType(err error) string {
	var failed *temporal.ApplicationError
	if errors.As(err, &failed) {
		return failed.Type()
	}
	return ""
}

func TestOutputDirectoryHasOneOwner(t *testing.T) {
	server := &fakeServer{running: map[string]bool{"first": true}}
	a, dir, ctx := quietActivities(server), t.TempDir(), t.Context()
	take := func(run contract.Run) (string, error) { return a.take(ctx, run, false) }

	if origin, err := take(runOf(dir, "first")); err != nil || origin != "first" {
		t.Fatalf("%q, %v", origin, err)
	}
	if _, err := take(runOf(dir, "first")); err != nil {
		t.Errorf("a retry of the claim: %v", err)
	}
	_, err := take(runOf(dir, "second"))
	if errorType(err) != contract.ErrOutputInUse || !strings.Contains(err.Error(), "workflow first") || !strings.Contains(err.Error(), dir) {
		t.Errorf("second run while the first runs: %v", err)
	}

	server.running["first"] = false
	if err := os.MkdirAll(filepath.Join(dir, "checkpoints", "checkpoint_epoch_0_step_3"), 0o755); err != nil {
		t.Fatal(err)
	}
	other := runOf(dir, "second")
	other.Config.Training.LoraR = 8
	_, err = take(other)
	if errorType(err) != contract.ErrOutputOther || !strings.Contains(err.Error(), "training.lora_r is 64 there, 8 here") {
		t.Errorf("another config over a trained run: %v", err)
	}
	base := runOf(dir, "second")
	base.BaseDigest = "another"
	if _, err = take(base); errorType(err) != contract.ErrOutputOther || !strings.Contains(err.Error(), "base model") {
		t.Errorf("another base over a trained run: %v", err)
	}

	// The same work under a new name goes on with the old checkpoints, under their old id.
	if origin, err := take(runOf(dir, "second")); err != nil || origin != "first" {
		t.Errorf("taking over an ended run: %q, %v", origin, err)
	}
	server.running["second"] = true
	if _, err := take(runOf(dir, "first")); errorType(err) != contract.ErrOutputInUse || !strings.Contains(err.Error(), "workflow second") {
		t.Errorf("the first again, while the second runs: %v", err)
	}
}

// What failed before anything was trained must not block the next try.
func TestUntrainedDirectoryIsTakenWithAnotherConfig(t *testing.T) {
	a, dir := quietActivities(&fakeServer{}), t.TempDir()
	if _, err := a.take(t.Context(), runOf(dir, "first"), false); err != nil {
		t.Fatal(err)
	}
	other := runOf(dir, "second")
	other.Config.Training.LoraR = 8
	if origin, err := a.take(t.Context(), other, false); err != nil || origin != "second" {
		t.Errorf("%q, %v", origin, err)
	}
}

func TestEvaluationNeedsARun(t *testing.T) {
	a := quietActivities(&fakeServer{})
	_, err := a.take(t.Context(), runOf(t.TempDir(), "w"), true)
	if errorType(err) != contract.ErrConfig || !strings.Contains(err.Error(), "holds no run") {
		t.Errorf("got %v", err)
	}
}
