package workflows

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	sdk "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// long makes the history long during the first epoch.
func (b *bench) long() *bench {
	b.RegisterDelayedCallback(func() { b.SetCurrentHistoryLength(longHistory) }, time.Minute)
	return b
}

// untilRenewed expects the run to continue as new, and returns what it carries over.
func (b *bench) untilRenewed() contract.Carried {
	b.t.Helper()
	_, err := b.run(input)
	var next *workflow.ContinueAsNewError
	if !errors.As(err, &next) {
		b.t.Fatalf("want a new execution, got %v after %v", err, b.called)
	}
	var (
		again   json.RawMessage
		carried contract.Carried
	)
	if err := converter.GetDefaultDataConverter().FromPayloads(next.Input, &again, &carried); err != nil {
		b.t.Fatal(err)
	}
	if string(again) != input || next.WorkflowType.Name != "Retrain" {
		b.t.Errorf("%s %s, want Retrain %s", next.WorkflowType.Name, again, input)
	}
	if carried.From != "default-test-run-id" {
		b.t.Errorf("from %q", carried.From)
	}
	return carried
}

// goOn runs the execution that follows, with what was carried over.
func (b *bench) goOn(c contract.Carried) (*contract.Result, error) {
	b.SetContinuedExecutionRunID(c.From)
	return b.run(input, c)
}

func (b *bench) page() string {
	v, err := b.QueryWorkflow("__temporal_workflow_metadata")
	if err != nil {
		b.t.Fatal(err)
	}
	var data sdk.WorkflowMetadata
	if err := v.Get(&data); err != nil {
		b.t.Fatal(err)
	}
	return data.GetCurrentDetails()
}

func TestALongHistoryGoesOnInANewExecution(t *testing.T) {
	undisturbed, err := newBench(t).healthy().run(input)
	if err != nil {
		t.Fatal(err)
	}
	for name, grow := range map[string]func(*bench){
		"by its length":        func(b *bench) { b.long() },
		"at the server's wish": func(b *bench) { b.RegisterDelayedCallback(func() { b.SetContinueAsNewSuggested(true) }, time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			first := newBench(t).healthy()
			grow(first)
			carried := first.untilRenewed()
			if got := strings.Join(first.called, " "); got != "Claim Split Train" {
				t.Errorf("before: %s", got)
			}
			if carried.Epoch != 2 || carried.Progress.Step != 5 || carried.Result.Steps != 5 || carried.Result.Host != "h" ||
				carried.Dataset.DatasetDigest != "d1" || carried.Claimed.Run.OutputDir != "/out" || !carried.Claimed.SearchAttribute ||
				len(carried.Notes) != 2 || len(carried.Result.Notes) != 1 || carried.Paused {
				t.Errorf("carried over %+v", carried)
			}
			second := newBench(t).healthy()
			var at contract.Progress
			var page string
			second.RegisterDelayedCallback(func() { at, page = second.progress(), second.page() }, time.Second)
			result, err := second.goOn(carried)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(second.called, " "); got != "Train Export Evaluate Evaluate Compare" || second.trains[0].Epoch != 2 {
				t.Errorf("after: %s", got)
			}
			if at.Phase != contract.PhaseTrain || at.Step != 5 || at.Epoch != 1 {
				t.Errorf("progress at once after: %+v", at)
			}
			if !strings.Contains(page, "epoch 1: loss 1.5000") || !strings.Contains(page, "output: `/out` on `h`") {
				t.Errorf("page at once after:\n%s", page)
			}
			if !reflect.DeepEqual(result, undisturbed) {
				t.Errorf("%+v, in one execution %+v", result, undisturbed)
			}
		})
	}
}

// After the last epoch there is little left to do: the run stays in its execution.
func TestALongHistoryEndsWhenTrainingHas(t *testing.T) {
	b := newBench(t).healthy()
	b.RegisterDelayedCallback(func() { b.SetCurrentHistoryLength(longHistory) }, epochLasts+time.Minute)
	if result, err := b.run(input); err != nil || result.Steps != 10 {
		t.Errorf("%+v, %v", result, err)
	}
	b = newBench(t).healthy()
	b.RegisterDelayedCallback(func() { b.SetCurrentHistoryLength(longHistory - 1) }, time.Minute)
	if result, err := b.run(input); err != nil || result.Steps != 10 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestAPauseCrosses(t *testing.T) {
	first := newBench(t).healthy().long()
	var pause, resume, checkpoint *answer
	first.RegisterDelayedCallback(func() { pause = first.update(contract.VerbPause) }, 2*time.Minute)
	carried := first.untilRenewed()
	if !strings.HasPrefix(pause.text, "paused in phase train") || !carried.Paused || carried.Epoch != 1 {
		t.Errorf("answer %q, %v; carried over %+v", pause.text, pause.failed, carried)
	}
	second := newBench(t).healthy()
	second.RegisterDelayedCallback(func() {
		if p := second.progress(); !p.Paused || len(second.trains) > 0 {
			t.Errorf("%+v after %d epochs", p, len(second.trains))
		}
		if page := second.page(); !strings.HasPrefix(page, "**Paused.**") {
			t.Error(page)
		}
		checkpoint, resume = second.update(contract.VerbCheckpoint), second.update(contract.VerbResume)
	}, time.Hour)
	result, err := second.goOn(carried)
	if err != nil || result.Steps != 10 || len(second.trains) != 2 || second.trains[0].Epoch != 1 || second.trains[0].Run.Resumes != 1 {
		t.Errorf("%+v, %v after %+v", result, err, second.trains)
	}
	if checkpoint.rejected == nil || !strings.HasPrefix(resume.text, "resumed") {
		t.Errorf("checkpoint %+v, resume %+v", checkpoint, resume)
	}
}

func TestAFailureThatWaitsForAPersonCrosses(t *testing.T) {
	first := newBench(t)
	first.OnActivity(contract.Train, mock.Anything, mock.Anything).After(epochLasts).Return(contract.TrainResult{},
		temporal.NewNonRetryableApplicationError("no space left on device", contract.ErrDiskFull, nil)).Once()
	carried := first.healthy().long().untilRenewed()
	if !carried.Paused || carried.Why != "no space left on device" {
		t.Errorf("%+v", carried)
	}
	second := newBench(t).healthy()
	second.RegisterDelayedCallback(func() {
		if p := second.progress(); p.Why != carried.Why {
			t.Errorf("%+v", p)
		}
		second.SignalWorkflow(contract.VerbResume, nil)
	}, time.Hour)
	if result, err := second.goOn(carried); err != nil || result.Steps != 10 {
		t.Errorf("%+v, %v", result, err)
	}
}

// The new execution obeys the same commands.
func TestVerbsAfterANewExecution(t *testing.T) {
	carried := newBench(t).healthy().long().untilRenewed()
	b := newBench(t).healthy()
	b.OnActivity(contract.SaveNow, mock.Anything, contract.SaveNowInput{WorkflowID: "w"}).
		Return(contract.SaveNowResult{Checkpoint: "c", Epoch: 2, Step: 7}, nil)
	var saved, paused, resumed, stopped *answer
	b.RegisterDelayedCallback(func() { saved = b.update(contract.VerbCheckpoint) }, time.Minute)
	b.RegisterDelayedCallback(func() { paused = b.update(contract.VerbPause) }, 2*time.Minute)
	b.RegisterDelayedCallback(func() { resumed = b.update(contract.VerbResume) }, 3*time.Minute)
	b.RegisterDelayedCallback(func() { stopped = b.update(contract.VerbStop) }, 4*time.Minute)
	result, err := b.goOn(carried)
	if err != nil || !result.Stopped || result.Compare == nil {
		t.Errorf("%+v, %v", result, err)
	}
	for want, a := range map[string]*answer{"saved c": saved, "paused": paused, "resumed": resumed, "training stopped after step": stopped} {
		if !strings.HasPrefix(a.text, want) {
			t.Errorf("%q, %v, %v; want %q", a.text, a.rejected, a.failed, want)
		}
	}
}

// A request for a checkpoint that no worker answers must not delay the new execution.
func TestACheckpointUnansweredIsAnsweredBefore(t *testing.T) {
	b := newBench(t).healthy().long()
	b.OnActivity(contract.SaveNow, mock.Anything, mock.Anything).After(100*time.Hour).Return(contract.SaveNowResult{}, nil)
	var saved *answer
	b.RegisterDelayedCallback(func() { saved = b.update(contract.VerbCheckpoint) }, 2*time.Minute)
	b.untilRenewed()
	if !strings.Contains(saved.text, "come to a halt") {
		t.Errorf("answer %q, %v", saved.text, saved.failed)
	}
}

func TestStopAndCancelGoBeforeANewExecution(t *testing.T) {
	b := newBench(t).healthy().long()
	b.RegisterDelayedCallback(func() { b.SignalWorkflow(contract.VerbStop, nil) }, 2*time.Minute)
	if result, err := b.run(input); err != nil || !result.Stopped || len(b.trains) != 1 {
		t.Errorf("%+v, %v", result, err)
	}
	b = newBench(t).healthy().long()
	b.RegisterDelayedCallback(b.CancelWorkflow, 2*time.Minute)
	var cancelled *temporal.CanceledError
	if _, err := b.run(input); !errors.As(err, &cancelled) {
		t.Errorf("got %v", err)
	}
}

// A second argument from a person is refused: it could name any directory.
func TestASecondArgumentOfAUser(t *testing.T) {
	carried := newBench(t).healthy().long().untilRenewed()
	for _, second := range []any{carried, "text", 7, map[string]any{}, []int{}} {
		b := newBench(t).healthy()
		_, err := b.run(input, second)
		var failed *temporal.ApplicationError
		if !errors.As(err, &failed) || failed.Type() != contract.ErrConfig || len(b.called) > 0 ||
			!strings.HasPrefix(failed.Message(), "input: more than one argument: want") {
			t.Errorf("%v: %v after %v", second, err, b.called)
		}
	}
	for _, none := range []any{nil, json.RawMessage("null")} {
		if result, err := newBench(t).healthy().run(input, none); err != nil || result.Steps != 10 {
			t.Errorf("%v: %v", none, err)
		}
	}
	// A retry, or the next run of a cron, has its predecessor's arguments, and starts from the beginning.
	b := newBench(t).healthy()
	b.SetContinuedExecutionRunID("another-run-id")
	if _, err := b.run(input, carried); err != nil || b.called[0] != contract.Claim {
		t.Errorf("%v after %v", err, b.called)
	}
	b = newBench(t).healthy()
	b.SetContinuedExecutionRunID(carried.From)
	if _, err := b.run(input, "text"); err == nil || !strings.Contains(err.Error(), "input: what the execution "+carried.From+" carried over") {
		t.Error(err)
	}
}
