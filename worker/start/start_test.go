package start

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"

	"so8t/contract"
)

func TestFlagsBecomeOverrides(t *testing.T) {
	c := Input{Config: "c.yaml", BaseModel: "b", Dataset: "d/*.jsonl", Output: "o",
		Set: []string{"training.seed=1", "training.learning_rate=1e-3", "so8t.layers=[0, 1]"}}
	in, err := c.RunInput()
	want := map[string]any{"model.base_model_path": "b", "data.input_path": "d/*.jsonl", "output_dir": "o",
		"training.seed": 1, "training.learning_rate": 1e-3, "so8t.layers": []any{0, 1}}
	if err != nil || in.Config != "c.yaml" || !reflect.DeepEqual(in.Set, want) {
		t.Errorf("%+v, %v", in, err)
	}
	for _, set := range [][]string{{"training.seed"}, {"training.seed=010"}, {"output_dir=x"}, {"a=1", "a=2"}} {
		c.Set = set
		if in, err := c.RunInput(); err == nil {
			t.Errorf("%v: accepted as %v", set, in.Set)
		}
	}
}

func TestLine(t *testing.T) {
	train := contract.Progress{Phase: contract.PhaseTrain, Epoch: 2, Epochs: 3, Step: 150, Steps: 300, Loss: 0.51234, TokensPerSec: 1510.2, SecondsLeft: 605}
	paused, failed, stopping := train, train, train
	paused.Paused = true
	failed.Paused, failed.Why = true, "no space left on device"
	stopping.Stopping = true
	for want, p := range map[string]contract.Progress{
		"waiting for a worker": {},
		"train  epoch 2/3 ████████████░░░░░░░░░░░░ 150/300  loss 0.5123  1510 tokens/s  10m5s left":             train,
		"train  epoch 2/3 ████████████░░░░░░░░░░░░ 150/300  loss 0.5123  1510 tokens/s  10m5s left  (stopping)": stopping,
		"paused in phase train at step 150; send resume to go on":     paused,
		"paused: no space left on device (mend it, then send resume)": failed,
		"evaluate  base ██████░░░░░░░░░░░░░░░░░░ 1/4  3s left":        {Phase: contract.PhaseEvaluate, Detail: "base", Done: 1, Total: 4, SecondsLeft: 3},
		"export  merged model": {Phase: contract.PhaseExport, Detail: "merged model"},
	} {
		if got := line(p); got != want {
			t.Errorf("%q\nwant %q", got, want)
		}
	}
}

// A log is not filled with a line a second.
func TestScreenInALog(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := newScreen(file)
	for step := range 50 {
		s.show(contract.Progress{Phase: contract.PhaseTrain, Epoch: 1, Epochs: 2, Step: step + 1, Steps: 100})
	}
	for range 2 {
		s.show(contract.Progress{Phase: contract.PhaseExport, Detail: "adapters", Notes: []string{"which file", "3 bad lines"}})
	}
	s.result(contract.Result{OutputDir: "/out", Steps: 100, Notes: []string{"which file", "3 bad lines", "only in the result"},
		Compare: &contract.CompareResult{Table: "the table\n", Report: "/out/report.html", Verdict: "reject", Reasons: []string{"no gain", "too few"}}})
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	for want, times := range map[string]int{"train": 1, "export": 1, "the table": 1, "/out/report.html": 1, "\r": 0,
		"note: which file\nnote: 3 bad lines\nexport": 1, "which file": 1, "note: only in the result\n": 1} {
		if got := strings.Count(string(text), want); got != times {
			t.Errorf("%q stands %d times, want %d:\n%s", want, got, times, text)
		}
	}
	if !strings.HasSuffix(string(text), "\nverdict      reject: no gain\n") {
		t.Errorf("the last line is not the verdict:\n%s", text)
	}
}

func TestNewestHeartbeatWins(t *testing.T) {
	pending := func(p contract.Progress) *workflow.PendingActivityInfo {
		payloads, err := converter.GetDefaultDataConverter().ToPayloads(p)
		if err != nil {
			t.Fatal(err)
		}
		return &workflow.PendingActivityInfo{HeartbeatDetails: payloads}
	}
	now := time.Unix(1000, 0).UTC()
	got := newestBeat([]*workflow.PendingActivityInfo{
		pending(contract.Progress{Step: 1, At: now}), pending(contract.Progress{Step: 2, At: now.Add(time.Second)}),
		{HeartbeatDetails: &common.Payloads{}}, {},
	})
	if got.Step != 2 {
		t.Errorf("%+v", got)
	}
}
