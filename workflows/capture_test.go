package workflows

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	"so8t/configs"
	"so8t/contract"
	"so8t/device"
)

// stage plays the activities of a run on a real server: an epoch ends after stepsPlayed steps or when the
// workflow cancels it, and reports its progress as a real one does.
type stage struct {
	server  client.Client
	decider worker.Worker // runs the workflows and their claims
	step    atomic.Int32
	failing atomic.Bool // the next epoch reports a full disk
	hold    atomic.Bool // no step but the first is done
}

const (
	stepsPlayed = 4 // an epoch
	stepPlayed  = 300 * time.Millisecond
)

func (s *stage) claim(ctx context.Context, in contract.ClaimInput) (contract.Claimed, error) {
	if in.Config == "missing.yaml" {
		return contract.Claimed{}, temporal.NewNonRetryableApplicationError(
			"read config: open missing.yaml: no such file or directory", contract.ErrConfig, nil)
	}
	c := configs.Default()
	c.Training.NumTrainEpochs = 2
	c.Checkpoint.HeartbeatTimeoutSeconds = 5
	id := activity.GetInfo(ctx).WorkflowExecution.ID
	run := contract.Run{WorkflowID: id, CheckpointID: id, Host: "stage", OutputDir: "/runs/" + id,
		BaseName: "base", InputPath: "/data/records.jsonl", Config: c}
	return contract.Claimed{Run: run, SearchAttribute: true}, nil
}

func (s *stage) train(ctx context.Context, in contract.TrainInput) (contract.TrainResult, error) {
	info := activity.GetInfo(ctx)
	p := contract.Progress{Phase: contract.PhaseTrain, Detail: "training", Epoch: in.Epoch, Epochs: 2, Steps: 2 * stepsPlayed, TokensPerSec: 1000}
	for int(s.step.Load()) < in.Epoch*stepsPlayed {
		if s.failing.CompareAndSwap(true, false) {
			return contract.TrainResult{}, temporal.NewNonRetryableApplicationError("save checkpoint: no space left on device", contract.ErrDiskFull, nil)
		}
		activity.RecordHeartbeat(ctx, p)
		select {
		case <-ctx.Done():
			return contract.TrainResult{Progress: p, Checkpoint: "checkpoint_epoch_0_step_1"}, nil
		case <-time.After(stepPlayed):
		}
		if s.hold.Load() && s.step.Load() > 0 {
			continue
		}
		p.Step, p.At = int(s.step.Add(1)), time.Now().UTC()
		p.Loss = 2 / float64(p.Step)
		if err := s.server.SignalWorkflow(ctx, info.WorkflowExecution.ID, "", contract.SignalProgress, p); err != nil {
			return contract.TrainResult{}, err
		}
	}
	p.Checkpoint = fmt.Sprintf("checkpoint_epoch_%d_step_%d", in.Epoch, s.step.Load())
	return contract.TrainResult{Progress: p, EpochDone: true, Checkpoint: p.Checkpoint}, nil
}

func (s *stage) register(w worker.Worker) {
	w.RegisterActivityWithOptions(s.claim, name(contract.Claim))
	w.RegisterActivityWithOptions(s.train, name(contract.Train))
	w.RegisterActivityWithOptions(func(context.Context, contract.Run) (contract.SplitResult, error) {
		return contract.SplitResult{DatasetDigest: "d", Train: 80, Val: 10, Test: 10}, nil
	}, name(contract.Split))
	w.RegisterActivityWithOptions(func(context.Context, contract.ExportInput) (contract.ExportResult, error) {
		return contract.ExportResult{Dir: "/runs/x/final_model", AdapterSHA256: "00"}, nil
	}, name(contract.Export))
	w.RegisterActivityWithOptions(func(_ context.Context, in contract.EvaluateInput) (contract.EvaluateResult, error) {
		return contract.EvaluateResult{Model: in.Model, Accuracy: 0.9}, nil
	}, name(contract.Evaluate))
	w.RegisterActivityWithOptions(func(context.Context, contract.CompareInput) (contract.CompareResult, error) {
		return contract.CompareResult{Verdict: "promote", PValue: 1e-9}, nil
	}, name(contract.Compare))
	w.RegisterActivityWithOptions(func(context.Context, contract.SaveNowInput) (contract.SaveNowResult, error) {
		return contract.SaveNowResult{Checkpoint: "checkpoint_epoch_0_step_2", Step: int(s.step.Load())}, nil
	}, name(contract.SaveNow))
}

// start plays the activities of all queues until the test ends.
func (s *stage) start(t *testing.T) {
	t.Helper()
	for _, queue := range []string{contract.HostQueue("stage"), contract.DeviceQueue("stage", device.Device{})} {
		w := worker.New(s.server, queue, worker.Options{DisableWorkflowWorker: true})
		s.register(w)
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
	}
	if err := s.decide(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.decider.Stop() })
}

func (s *stage) decide() error {
	s.decider = worker.New(s.server, contract.TaskQueue, worker.Options{})
	s.register(s.decider)
	for _, f := range []any{Retrain, Evaluate, Compare} {
		s.decider.RegisterWorkflow(f)
	}
	return s.decider.Start()
}

// devServer starts the development server, which make build builds.
func devServer(t *testing.T) *testsuite.DevServer {
	t.Helper()
	path, err := filepath.Abs("../bin/temporal")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	var attributes []string
	for _, name := range contract.SearchAttributes() {
		attributes = append(attributes, "--search-attribute", name+"=Keyword")
	}
	server, err := testsuite.StartDevServer(context.Background(), testsuite.DevServerOptions{ExistingPath: path, LogLevel: "error", ExtraArgs: attributes,
		ClientOptions: &client.Options{Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	return server
}

func (s *stage) update(run client.WorkflowRun, verb string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	handle, err := s.server.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateName: verb,
		WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		return "", err
	}
	return answer, handle.Get(ctx, &answer)
}

func (s *stage) await(run client.WorkflowRun, holds func(contract.Progress) bool) error {
	var p contract.Progress
	for range 300 {
		v, err := s.server.QueryWorkflow(context.Background(), run.GetID(), "", contract.QueryProgress)
		if err != nil {
			return err
		}
		if err := v.Get(&p); err != nil {
			return err
		}
		if holds(p) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("still at %+v", p)
}

// play runs one scenario and returns the history of each execution.
func (s *stage) play(name string, t *testing.T) (executions []*history.History) {
	t.Helper()
	s.step.Store(0)
	s.hold.Store(true) // until the scenario has done what it does in the first epoch, however slow the machine
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	run, err := s.server.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: name, TaskQueue: contract.TaskQueue},
		"Retrain", json.RawMessage(`{"config":"c.yaml"}`))
	if err != nil {
		t.Fatal(err)
	}
	id := run.GetRunID()
	if err := s.await(run, func(p contract.Progress) bool { return p.Phase == contract.PhaseTrain && p.Step > 0 }); err != nil {
		t.Fatal(err)
	}
	if err := scenarios[name](s, run); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	s.hold.Store(false)
	var result contract.Result
	err = run.Get(ctx, &result)
	var cancelled *temporal.CanceledError
	if name == "cancelled" && errors.As(err, &cancelled) {
		return []*history.History{historyOf(t, s.server, name, id)}
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if stopped := strings.Contains(name, "stopped"); result.Stopped != stopped || !stopped && result.Steps != 2*stepsPlayed {
		t.Errorf("%+v", result)
	}
	d, err := s.server.DescribeWorkflow(ctx, name, "")
	if err != nil {
		t.Fatal(err)
	}
	for attribute, want := range map[string]string{contract.AttrBaseModel: "base", contract.AttrDataset: "d",
		contract.AttrPhase: contract.PhaseDone, contract.AttrVerdict: "promote"} {
		if got, _ := d.TypedSearchAttributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword(attribute)); got != want {
			t.Errorf("search attribute %s is %q at the end, want %q", attribute, got, want)
		}
	}
	for id != "" {
		h := historyOf(t, s.server, name, id)
		executions = append(executions, h)
		id = h.Events[len(h.Events)-1].GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	}
	return executions
}

func historyOf(t *testing.T, server client.Client, id, run string) *history.History {
	t.Helper()
	h := &history.History{}
	events := server.GetWorkflowHistory(context.Background(), id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		h.Events = append(h.Events, e)
	}
	return h
}

// Every scenario runs on a real server.
func TestScenariosOnAServer(t *testing.T) {
	s := &stage{server: devServer(t).Client()}
	s.start(t)
	for name := range scenarios {
		t.Run(name, func(t *testing.T) {
			executions := s.play(name, t)
			want := 1
			if strings.HasPrefix(name, "long") && !strings.Contains(name, "stopped") {
				want = 2
			}
			if len(executions) != want {
				t.Errorf("%d executions, want %d", len(executions), want)
			}
			capture(t, name, executions...)
		})
	}
}

// capture writes the histories of a scenario's executions for TestReplay where SO8T_CAPTURE is set: make histories.
func capture(t *testing.T, name string, executions ...*history.History) {
	t.Helper()
	for i, h := range executions {
		t.Logf("%d events", len(h.Events))
		if os.Getenv("SO8T_CAPTURE") == "" {
			continue
		}
		file := fmt.Sprintf("replay_%s_%s", time.Now().UTC().Format("20060102"), name)
		if len(executions) > 1 {
			file += fmt.Sprintf("_%d", i+1)
		}
		if err := writeHistory(h, filepath.Join("testdata", file+".json.gz")); err != nil {
			t.Fatal(err)
		}
	}
}

func writeHistory(h *history.History, path string) error {
	text, err := protojson.Marshal(h)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(f)
	_, err = zip.Write(text)
	return errors.Join(err, zip.Close(), f.Close())
}
