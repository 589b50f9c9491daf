package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/temporal"

	"so8t/configs"
	"so8t/contract"
	"so8t/disk"
	"so8t/rundir"
)

// fakeServer answers as a Temporal server would, from maps and hooks.
type fakeServer struct {
	status map[string]enums.WorkflowExecutionStatus // by workflow id; an absent one is unknown to the server
	beat   func(details ...any) error
	signal func(arg any) error
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

func (s *fakeServer) DescribeWorkflowExecution(ctx context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	status, known := s.status[id]
	switch {
	case ctx.Err() != nil:
		return nil, serviceerror.NewUnavailable("away")
	case !known:
		return nil, serviceerror.NewNotFound("no such workflow")
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

func TestRunningWorkflows(t *testing.T) {
	a := quietActivities(&fakeServer{status: map[string]enums.WorkflowExecutionStatus{
		"running": enums.WORKFLOW_EXECUTION_STATUS_RUNNING, "failed": enums.WORKFLOW_EXECUTION_STATUS_FAILED}})
	for id, want := range map[string]rundir.Status{"running": rundir.Runs, "failed": rundir.Ended, "unknown": rundir.Unknown} {
		if got, err := a.running(t.Context(), id); got != want || err != nil {
			t.Errorf("%s: %v, %v", id, got, err)
		}
	}
	away, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.running(away, "running"); err == nil {
		t.Error("a server that does not answer")
	}
}

func TestTakingADirectoryFailsByType(t *testing.T) {
	a := quietActivities(&fakeServer{status: map[string]enums.WorkflowExecutionStatus{"first": enums.WORKFLOW_EXECUTION_STATUS_RUNNING}})
	dir := t.TempDir()
	if run, err := a.take(t.Context(), runOf(dir, "first"), contract.ClaimInput{}); err != nil || run.CheckpointID != "first" {
		t.Fatalf("%q, %v", run.CheckpointID, err)
	}
	other := runOf(dir, "first")
	other.Config.Training.LoraR = 8
	nightly := func(zone string) contract.ClaimInput {
		return contract.ClaimInput{RunInput: contract.RunInput{Nightly: &contract.Nightly{TimeZone: zone}}}
	}
	night := nightly("UTC")
	night.Existing = true
	for _, c := range []struct {
		run  contract.Run
		in   contract.ClaimInput
		want string
		text string
	}{
		{runOf(dir, "second"), contract.ClaimInput{}, contract.ErrOutputInUse, "is in use by workflow first"},
		{other, contract.ClaimInput{Existing: true}, contract.ErrOutputOther, "training.lora_r is 64 there, 8 here"},
		{runOf(t.TempDir(), "w"), contract.ClaimInput{Existing: true}, contract.ErrConfig, "holds no run"},
		{runOf(filepath.Join(dir, "run.json", "below a file"), "w"), contract.ClaimInput{}, contract.ErrConfig, "output_dir: "},
		{runOf(t.TempDir(), "w"), nightly("Tokyo"), contract.ErrConfig, `nightly.time_zone: "Tokyo" names no time zone`},
		{runOf(t.TempDir(), "w"), nightly("Local"), contract.ErrConfig, `nightly.time_zone: "Local" names no time zone`},
		{runOf(t.TempDir(), "w"), night, contract.ErrConfig, "only Retrain makes a new night"},
	} {
		if _, err := a.take(t.Context(), c.run, c.in); errorType(err) != c.want || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s %v, want %s …%s…", errorType(err), err, c.want, c.text)
		}
	}
}

func TestDirectoryErrors(t *testing.T) {
	held := fmt.Errorf("acquire lease: %w", &disk.HeldError{Dir: "/out", Holder: disk.Holder{Owner: "first"}})
	full := &rundir.DirError{Err: fmt.Errorf("output_dir: %w", syscall.ENOSPC)}
	for _, c := range []struct {
		err        error
		workflowID string
		want       string
	}{
		{held, "second", contract.ErrOutputInUse},
		{held, "first", ""}, // another attempt of the same run, which job.outcome recognises
		{&rundir.TakenOverError{Dir: "/out"}, "first", contract.ErrOutputInUse},
		{full, "w", contract.ErrDiskFull},
		{errors.New("server away"), "w", ""},
		{nil, "w", ""},
	} {
		if err := directoryError(c.err, c.workflowID); errorType(err) != c.want || (err == nil) != (c.err == nil) {
			t.Errorf("%v of %s is %s: %v", c.err, c.workflowID, errorType(err), err)
		}
	}
}

func TestNightIsNamedByItsTime(t *testing.T) {
	a, root := quietActivities(&fakeServer{}), t.TempDir()
	run := runOf(root, "w")
	run.ConfigPath = "demo.yaml"
	run, err := a.take(t.Context(), run, contract.ClaimInput{RunInput: contract.RunInput{Nightly: &contract.Nightly{TimeZone: "Asia/Tokyo"}},
		ScheduledAt: time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC), ScheduledBy: "nightly"})
	if err != nil {
		t.Fatal(err)
	}
	n := run.Night
	if n.Name != "2026-11-25T0200" || run.OutputDir != filepath.Join(root, n.Name) ||
		n.Schedule != "nightly" || !filepath.IsAbs(n.Config) || filepath.Base(n.Config) != "demo.yaml" {
		t.Errorf("%+v", n)
	}
	entries, err := os.ReadDir(root)
	if err != nil || !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == n.Name }) {
		t.Errorf("%v, %v", entries, err)
	}
}
