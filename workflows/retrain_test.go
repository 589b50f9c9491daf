package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"so8t/configs"
	"so8t/contract"
)

// bench is a workflow test environment whose activities have scripted results.
type bench struct {
	*testsuite.TestWorkflowEnvironment
	t      *testing.T
	called []string
	trains []contract.TrainInput
}

const epochLasts = 10 * time.Minute

func newBench(t *testing.T) *bench {
	var suite testsuite.WorkflowTestSuite
	b := &bench{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t}
	b.RegisterActivityWithOptions(func(context.Context, contract.ClaimInput) (contract.Claimed, error) { panic("unmocked") }, name(contract.Claim))
	b.RegisterActivityWithOptions(func(context.Context, contract.Run) (contract.SplitResult, error) { panic("unmocked") }, name(contract.Split))
	b.RegisterActivityWithOptions(func(context.Context, contract.TrainInput) (contract.TrainResult, error) { panic("unmocked") }, name(contract.Train))
	b.RegisterActivityWithOptions(func(context.Context, contract.ExportInput) (contract.ExportResult, error) { panic("unmocked") }, name(contract.Export))
	b.RegisterActivityWithOptions(func(context.Context, contract.EvaluateInput) (contract.EvaluateResult, error) { panic("unmocked") }, name(contract.Evaluate))
	b.RegisterActivityWithOptions(func(context.Context, contract.CompareInput) (contract.CompareResult, error) { panic("unmocked") }, name(contract.Compare))
	b.RegisterActivityWithOptions(func(context.Context, contract.SaveNowInput) (contract.SaveNowResult, error) { panic("unmocked") }, name(contract.SaveNow))
	return b
}

// healthy has every activity succeed; what was scripted before it comes first.
func (b *bench) healthy() *bench {
	run := contract.Run{WorkflowID: "w", Host: "h", OutputDir: "/out", BaseName: "base", InputPath: "/d.jsonl", Config: configs.Default()}
	run.Config.Training.NumTrainEpochs = 2
	claimed := contract.Claimed{Run: run, Notes: []string{"fp16 computes in bfloat16"}, SearchAttribute: true}
	b.OnActivity(contract.Claim, mock.Anything, mock.Anything).Return(claimed, nil)
	b.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil)
	b.OnActivity(contract.Split, mock.Anything, mock.Anything).Return(contract.SplitResult{DatasetDigest: "d1", Train: 80, Val: 10, Test: 10}, nil)
	train := func(_ context.Context, in contract.TrainInput) (contract.TrainResult, error) {
		return epochResult(in, true), nil
	}
	b.OnActivity(contract.Train, mock.Anything, mock.Anything).After(epochLasts).Return(train)
	b.OnActivity(contract.Export, mock.Anything, mock.Anything).Return(contract.ExportResult{Dir: "/out/final_model", AdapterSHA256: "a"}, nil)
	b.OnActivity(contract.Evaluate, mock.Anything, mock.Anything).Return(func(_ context.Context, in contract.EvaluateInput) (contract.EvaluateResult, error) {
		return contract.EvaluateResult{Model: in.Model, Accuracy: 0.9}, nil
	})
	b.OnActivity(contract.Compare, mock.Anything, mock.Anything).Return(contract.CompareResult{Verdict: "promote", PValue: 0.001}, nil)
	b.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		b.called = append(b.called, info.ActivityType.Name)
		if info.ActivityType.Name == contract.Train {
			var in contract.TrainInput
			if err := args.Get(&in); err != nil {
				b.t.Error(err)
			}
			b.trains = append(b.trains, in)
		}
	})
	return b
}

func epochResult(in contract.TrainInput, done bool) contract.TrainResult {
	return contract.TrainResult{EpochDone: done, Checkpoint: "checkpoint_epoch_1_step_5", Progress: contract.Progress{
		Phase: contract.PhaseTrain, Epoch: in.Epoch, Epochs: 2, Step: 5 * in.Epoch, Steps: 10, Loss: 1.5, TokensPerSec: 900}}
}

func (b *bench) run(input string, further ...any) (*contract.Result, error) {
	b.RegisterWorkflow(Retrain)
	b.ExecuteWorkflow("Retrain", append([]any{json.RawMessage(input)}, further...)...) // by name: people start it with one argument
	if !b.IsWorkflowCompleted() {
		b.t.Fatal("the workflow has not completed")
	}
	var result contract.Result
	if err := b.GetWorkflowError(); err != nil {
		return nil, err
	}
	return &result, b.GetWorkflowResult(&result)
}

func (b *bench) progress() contract.Progress {
	v, err := b.QueryWorkflow(contract.QueryProgress)
	if err != nil {
		b.t.Fatal(err)
	}
	var p contract.Progress
	if err := v.Get(&p); err != nil {
		b.t.Fatal(err)
	}
	return p
}

// answer is the outcome of an update.
type answer struct {
	text             string
	rejected, failed error
}

func (b *bench) update(name string) *answer {
	a := &answer{}
	b.UpdateWorkflow(name, "", &testsuite.TestUpdateCallback{
		OnAccept: func() {},
		OnReject: func(err error) { a.rejected = err },
		OnComplete: func(v any, err error) {
			a.failed = err
			a.text, _ = v.(string)
		},
	})
	return a
}

const input = `{"config":"c.yaml"}`

func TestChain(t *testing.T) {
	b := newBench(t).healthy()
	result, err := b.run(input)
	if err != nil {
		t.Fatal(err)
	}
	want := "Claim Split Train Train Export Evaluate Evaluate Compare"
	if got := strings.Join(b.called, " "); got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	if result.Steps != 10 || result.Compare.Verdict != "promote" || result.Retrained.Model != "retrained" || result.Stopped {
		t.Errorf("result %+v", result)
	}
	if p := b.progress(); p.Phase != contract.PhaseDone || p.Verdict != "promote" {
		t.Errorf("progress %+v", p)
	}
}

func TestBadInputFailsAtOnce(t *testing.T) {
	for in, want := range map[string]string{
		`{"config":"c.yaml","sets":{}}`:  `unknown field "sets"`,
		`{}`:                             "config is missing",
		`null`:                           "no input",
		`{"config":3}`:                   "cannot unmarshal number",
		`{"config":"c.yaml"} {"set":{}}`: "more than one value",
	} {
		raw := json.RawMessage(in)
		if !json.Valid(raw) { // not a payload: ParseInput itself must refuse it
			if _, err := contract.ParseInput(raw); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", in, err)
			}
			continue
		}
		_, err := newBench(t).run(in)
		var failed *temporal.ApplicationError
		if !errors.As(err, &failed) || !failed.NonRetryable() || failed.Type() != contract.ErrConfig || !strings.Contains(failed.Message(), want) {
			t.Errorf("%s: %v, want …%s…", in, err, want)
		}
	}
}

func TestInputErrorEndsTheRunInOneLine(t *testing.T) {
	b := newBench(t)
	const text = "c.yaml:7: training.lora_r: must be at least 1, is 0"
	b.OnActivity(contract.Claim, mock.Anything, mock.Anything).
		Return(contract.Claimed{}, temporal.NewNonRetryableApplicationError(text, contract.ErrConfig, nil))
	_, err := b.run(input)
	var failed *temporal.ApplicationError
	if !errors.As(err, &failed) || failed.Message() != text || failed.Type() != contract.ErrConfig {
		t.Fatalf("got %v", err)
	}
}

func TestPauseAndResume(t *testing.T) {
	b := newBench(t).healthy()
	var pause, again, checkpoint, resume *answer
	b.RegisterDelayedCallback(func() { pause = b.update(contract.VerbPause) }, time.Minute)
	b.RegisterDelayedCallback(func() {
		if p := b.progress(); !p.Paused {
			t.Errorf("not paused: %+v", p)
		}
		if len(b.trains) != 1 {
			t.Errorf("%d epochs started while paused", len(b.trains))
		}
		again, checkpoint = b.update(contract.VerbPause), b.update(contract.VerbCheckpoint)
	}, time.Hour)
	b.RegisterDelayedCallback(func() { resume = b.update(contract.VerbResume) }, 2*time.Hour)
	if _, err := b.run(input); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(pause.text, "paused") || !strings.HasPrefix(resume.text, "resumed") {
		t.Errorf("answers %q, %q", pause.text, resume.text)
	}
	if again.rejected == nil || !strings.Contains(again.rejected.Error(), "already paused") {
		t.Errorf("second pause: %v", again.rejected)
	}
	if checkpoint.rejected == nil || !strings.Contains(checkpoint.rejected.Error(), "on disk already") {
		t.Errorf("checkpoint while paused: %v", checkpoint.rejected)
	}
	if len(b.trains) != 3 || b.trains[1].Epoch != 1 || b.trains[2].Epoch != 2 {
		t.Errorf("want epoch 1 twice, then 2: %+v", b.trains)
	}
	if b.trains[1].Run.Resumes != 1 {
		t.Error("a resumed epoch must know that a person resumed it")
	}
}

func TestSignalsDoWhatUpdatesDo(t *testing.T) {
	b := newBench(t).healthy()
	b.RegisterDelayedCallback(func() { b.SignalWorkflow(contract.VerbPause, nil) }, time.Minute)
	b.RegisterDelayedCallback(func() {
		if !b.progress().Paused {
			t.Error("not paused")
		}
		b.SignalWorkflow(contract.VerbPause, nil) // refused, with a line in the log
		b.SignalWorkflow(contract.VerbResume, nil)
	}, time.Hour)
	result, err := b.run(input)
	if err != nil || result.Steps != 10 {
		t.Fatalf("%+v, %v", result, err)
	}
}

func TestStopExportsWhatThereIs(t *testing.T) {
	b := newBench(t).healthy()
	var stop, early *answer
	b.RegisterDelayedCallback(func() {
		b.SignalWorkflow(contract.SignalProgress, contract.Progress{Phase: contract.PhaseTrain, Epoch: 1, Epochs: 2, Step: 3, Steps: 10, Loss: 2})
	}, 30*time.Second)
	b.RegisterDelayedCallback(func() { stop = b.update(contract.VerbStop) }, time.Minute)
	result, err := b.run(input)
	if err != nil {
		t.Fatal(err)
	}
	if !result.Stopped || len(b.trains) != 1 || result.Compare == nil {
		t.Errorf("result %+v after %d epochs", result, len(b.trains))
	}
	if stop.failed != nil || !strings.Contains(stop.text, "step 3") {
		t.Errorf("answer %q, %v", stop.text, stop.failed)
	}
	b = newBench(t)
	b.OnActivity(contract.Claim, mock.Anything, mock.Anything).After(time.Hour).
		Return(contract.Claimed{}, temporal.NewNonRetryableApplicationError("x", contract.ErrData, nil))
	b.RegisterDelayedCallback(func() { early = b.update(contract.VerbStop) }, time.Minute)
	_, _ = b.run(input)
	if early.rejected == nil || !strings.Contains(early.rejected.Error(), "not training") {
		t.Errorf("stop before training: %v", early.rejected)
	}
}

// A failure that a person can repair pauses the run with its reason, and resume goes on.
func TestDiskFullWaitsForAPerson(t *testing.T) {
	b := newBench(t)
	b.OnActivity(contract.Train, mock.Anything, mock.Anything).Return(contract.TrainResult{},
		temporal.NewNonRetryableApplicationError("write checkpoint /out: no space left on device", contract.ErrDiskFull, nil)).Once()
	b.healthy()
	b.RegisterDelayedCallback(func() {
		if p := b.progress(); !p.Paused || !strings.Contains(p.Why, "no space left") {
			t.Errorf("progress %+v", p)
		}
		b.SignalWorkflow(contract.VerbResume, nil)
	}, time.Hour)
	result, err := b.run(input)
	if err != nil || result.Steps != 10 {
		t.Fatalf("%+v, %v", result, err)
	}
}

func TestCheckpointNow(t *testing.T) {
	b := newBench(t).healthy()
	b.OnActivity(contract.SaveNow, mock.Anything, contract.SaveNowInput{WorkflowID: "w"}).
		Return(contract.SaveNowResult{Checkpoint: "checkpoint_epoch_1_step_4", Epoch: 1, Step: 4}, nil)
	var saved *answer
	b.RegisterDelayedCallback(func() { saved = b.update(contract.VerbCheckpoint) }, time.Minute)
	b.RegisterDelayedCallback(func() {
		if p := b.progress(); p.Checkpoint != "checkpoint_epoch_1_step_4" {
			t.Errorf("progress %+v", p)
		}
	}, 2*time.Minute)
	if _, err := b.run(input); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(saved.text, "saved checkpoint_epoch_1_step_4") || len(b.trains) != 2 {
		t.Errorf("answer %q, %v; %d epochs", saved.text, saved.failed, len(b.trains))
	}
}

// A request for a checkpoint to a worker that is gone must not delay the run.
func TestCheckpointUnansweredWhileTrainingEnds(t *testing.T) {
	b := newBench(t).healthy()
	b.OnActivity(contract.SaveNow, mock.Anything, mock.Anything).After(100*time.Hour).Return(contract.SaveNowResult{}, nil)
	var saved *answer
	b.RegisterDelayedCallback(func() { saved = b.update(contract.VerbCheckpoint) }, time.Minute)
	if _, err := b.run(input); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(saved.text, "come to a halt") {
		t.Errorf("answer %q, %v", saved.text, saved.failed)
	}
}

func TestCancel(t *testing.T) {
	b := newBench(t).healthy()
	b.RegisterDelayedCallback(b.CancelWorkflow, time.Minute)
	_, err := b.run(input)
	var cancelled *temporal.CanceledError
	if !errors.As(err, &cancelled) || len(b.trains) != 1 {
		t.Fatalf("got %v after %d epochs", err, len(b.trains))
	}
}

func TestPageSaysWhatMattersFirst(t *testing.T) {
	r := &run{progress: contract.Progress{Phase: contract.PhaseTrain, Epoch: 2, Epochs: 3, Step: 134, Steps: 300,
		Loss: 0.51234, TokensPerSec: 1510.2, SecondsLeft: 600,
		Checkpoint: "checkpoint_epoch_2_step_130", CheckpointAt: time.Unix(0, 0), At: time.Unix(0, 0)}}
	first := func() string { return strings.SplitN(r.markdown(), "\n", 2)[0] }
	if got := first(); got != "**Training:** epoch 2 of 3, step 134 of 300, loss 0.5123, 1510 tokens/s, 10 min left" {
		t.Error(got)
	}
	for _, want := range []string{"| Last checkpoint | `checkpoint_epoch_2_step_130`, 00:00:00 UTC |", "ends about 1970-01-01 00:10 UTC"} {
		if page := r.markdown(); !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
	busy, watts := 97, 512
	for want, g := range map[string]*contract.GPU{
		"| GPU | 41.0 of 79.6 GiB |": {MemoryUsedBytes: 41 << 30, MemoryTotalBytes: 85520809984},
		"| GPU | 41.0 of 79.6 GiB, 97 % busy, 512 W |": {
			MemoryUsedBytes: 41 << 30, MemoryTotalBytes: 85520809984, UtilizationPercent: &busy, PowerWatts: &watts},
	} {
		if r.progress.GPU = g; !strings.Contains(r.markdown(), want) {
			t.Errorf("no %s in\n%s", want, r.markdown())
		}
	}
	r.pause("disk full")
	if page := r.markdown(); strings.Contains(page, "ends about") || strings.Contains(page, "GPU") {
		t.Errorf("a paused run has no end and no GPU:\n%s", page)
	}
	if got := first(); got != "**Paused: disk full.** Mend it, then send the signal or update `resume`." {
		t.Error(got)
	}
}

func name(activityName string) activity.RegisterOptions {
	return activity.RegisterOptions{Name: activityName}
}
