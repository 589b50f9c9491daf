package workflows

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"

	"so8t/configs"
	"so8t/contract"
)

// What an activity wants a person to know stays on the page, once, after the activity that said it.
func TestNoticeStaysOnThePage(t *testing.T) {
	r := &run{progress: contract.Progress{Phase: contract.PhaseTrain}}
	for range 3 {
		r.heard(contract.Progress{Phase: contract.PhaseTrain, Step: 1, Notice: "the arithmetic has changed"})
	}
	r.heard(contract.Progress{Phase: contract.PhaseExport})
	r.progress = contract.Progress{Phase: contract.PhaseDone}
	if got := strings.Count(r.markdown(), "- the arithmetic has changed\n"); got != 1 {
		t.Errorf("%d times on\n%s", got, r.markdown())
	}
}

func TestNoticeStopsNothing(t *testing.T) {
	b := newBench(t).healthy()
	b.RegisterDelayedCallback(func() {
		b.SignalWorkflow(contract.SignalProgress, contract.Progress{Phase: contract.PhaseTrain, Epoch: 1, Epochs: 2, Step: 3, Steps: 10, Notice: "n"})
	}, epochLasts/2+time.Second)
	if _, err := b.run(input); err != nil {
		t.Fatal(err)
	}
}

// What the claim and the split have to say stands on the page, in the answer to progress and in the result, to the end,
// however much happens later. Only the split gets the paths of the input files.
func TestNotesOfTheDataStay(t *testing.T) {
	b := newBench(t)
	run := contract.Run{WorkflowID: "w", Host: "h", OutputDir: "/out", InputPath: "/1.jsonl",
		InputPaths: []string{"/1.jsonl", "/2.jsonl"}, Config: configs.Default()}
	run.Config.Training.NumTrainEpochs = 2 * newestNotes
	b.OnActivity(contract.Claim, mock.Anything, mock.Anything).Return(contract.Claimed{Run: run, Notes: []string{"note of the claim"}}, nil)
	var paths [][]string
	b.OnActivity(contract.Split, mock.Anything, mock.Anything).Return(func(_ context.Context, run contract.Run) (contract.SplitResult, error) {
		paths = append(paths, run.InputPaths)
		return contract.SplitResult{DatasetDigest: "d", Train: 8, Test: 1, Bad: 3, TooLong: 4, Removed: 5,
			Notes: []string{"note of the split", "2 bad lines"}}, nil
	})
	b.OnActivity(contract.Compare, mock.Anything, mock.Anything).Return(func(_ context.Context, in contract.CompareInput) (contract.CompareResult, error) {
		paths = append(paths, in.Run.InputPaths)
		return contract.CompareResult{Verdict: "reject"}, nil
	})
	b.healthy()
	want := []string{"note of the claim", "note of the split", "2 bad lines"}
	b.RegisterDelayedCallback(func() {
		if p := b.progress(); !slices.Equal(p.Notes, want) {
			t.Errorf("the query answers %q", p.Notes)
		}
	}, epochLasts*3/2)
	result, err := b.run(input)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(result.Notes, want) || !reflect.DeepEqual(paths, [][]string{{"/1.jsonl", "/2.jsonl"}, nil}) {
		t.Errorf("result %q, paths %q", result.Notes, paths)
	}
	page := b.page()
	for _, note := range want {
		if strings.Count(page, "- "+note+"\n") != 1 {
			t.Errorf("%q is not on the page once:\n%s", note, page)
		}
	}
}

func TestTheDatasetIsCounted(t *testing.T) {
	b := newBench(t)
	b.OnActivity(contract.Split, mock.Anything, mock.Anything).Return(contract.SplitResult{Train: 8, Val: 2, Test: 1, Bad: 3, TooLong: 4, Removed: 5}, nil)
	b.healthy()
	if _, err := b.run(input); err != nil {
		t.Fatal(err)
	}
	const want = "dataset: 8 training, 2 validation, 1 test samples; left out: 3 bad, 4 too long, 5 by the policy"
	if page := b.page(); !strings.Contains(page, want) {
		t.Error(page)
	}
}
