package activities

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"so8t/configs"
	"so8t/contract"
	"so8t/engine"
	"so8t/native"
)

// The configuration accepts exactly the names that the engine knows.
func TestConfigAndEngineAgree(t *testing.T) {
	if !maps.Equal(configs.Optimizers, engine.Optims) {
		t.Errorf("optim: %v in configs, %v in engine", configs.Optimizers, engine.Optims)
	}
	a, b := slices.Sorted(slices.Values(configs.Schedules)), slices.Sorted(slices.Values(engine.Schedulers))
	if !slices.Equal(a, b) {
		t.Errorf("lr_scheduler_type: %v in configs, %v in engine", a, b)
	}
	for _, keep := range configs.Keeps {
		c := configs.Default()
		c.Training.GradientCheckpointingKeep = keep
		if o := trainingOptions(contract.Run{Config: c}); o.Keep != keep || !o.GradientCheckpointing {
			t.Errorf("gradient_checkpointing_keep: %s is trained with %q", keep, o.Keep)
		}
	}
	if !slices.Equal(configs.Projections, engine.Projections) {
		t.Errorf("lora_target_modules: %v in configs, %v in engine", configs.Projections, engine.Projections)
	}
}

// Every model of a run shares one file of algorithms, and the metadata says which it was.
func TestChoicesOfProducts(t *testing.T) {
	j := testJob(t)
	j.run.Config = configs.Default()
	path := j.path(choicesName)
	if a, b := trainingOptions(j.run), answeringOptions(j.run); a.Choices != path || b.Choices != path {
		t.Errorf("training takes choices from %q, evaluation from %q", a.Choices, b.Choices)
	}
	info := native.Info{Name: "a GPU", ISA: "sm_90"}
	if c, err := j.computedOn(t.Context(), info); err != nil || c != (computedOn{Name: "a GPU", ISA: "sm_90"}) {
		t.Errorf("without a file: %+v, %v", c, err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	const x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	if c, err := j.computedOn(t.Context(), info); err != nil || c.Choices != x {
		t.Errorf("with a file: %+v, %v", c, err)
	}
}

func testJob(t *testing.T) *job {
	return &job{run: contract.Run{OutputDir: t.TempDir()}, log: slog.New(slog.DiscardHandler)}
}

func TestStartsWithoutProgress(t *testing.T) {
	j := testJob(t)
	for i := range patience {
		if err := j.countStart("training at step 7"); err != nil {
			t.Fatalf("start %d: %v", i+1, err)
		}
	}
	err := j.countStart("training at step 7")
	if errorType(err) != contract.ErrNoProgress || !strings.Contains(err.Error(), "step 7") {
		t.Errorf("one too many: %v", err)
	}
	if err := j.countStart("training at step 8"); err != nil {
		t.Errorf("after progress: %v", err)
	}
	for range patience {
		_ = j.countStart("training at step 8")
	}
	j.run.Resumes = 1
	if err := j.countStart("training at step 8"); err != nil {
		t.Errorf("after a person's resume: %v", err)
	}
}

func TestOnce(t *testing.T) {
	j := testJob(t)
	made := filepath.Join(j.run.OutputDir, "made")
	calls := 0
	do := func(key string) string {
		result, err := once(j, "thing", key, []string{made}, func() (string, error) {
			calls++
			return fmt.Sprint(key, calls), os.WriteFile(made, nil, 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	first, second := do("a"), do("a")
	if first != "a1" || second != "a1" || calls != 1 {
		t.Errorf("%s, %s: done %d times", first, second, calls)
	}
	if do("b") != "b2" {
		t.Error("another key must be worked on")
	}
	if err := os.Remove(made); err != nil {
		t.Fatal(err)
	}
	if do("b") != "b3" {
		t.Error("a missing file must be made again")
	}
	if _, err := once(j, "failing", "k", nil, func() (int, error) { return 0, errors.New("no") }); err == nil {
		t.Error("error swallowed")
	}
	if got, err := once(j, "failing", "k", nil, func() (int, error) { return 3, nil }); got != 3 || err != nil {
		t.Error("a failure must not be marked done")
	}
}

func TestOutsideCausesNeedAPerson(t *testing.T) {
	full := fmt.Errorf("save: %w", &os.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC})
	if got := errorType(fail(contract.ErrModel, full)); got != contract.ErrDiskFull {
		t.Errorf("disk full is reported as %s", got)
	}
	if got := errorType(fail(contract.ErrModel, fmt.Errorf("open: %w", native.ErrMemory))); got != contract.ErrMemory {
		t.Errorf("no memory is reported as %s", got)
	}
	if got := errorType(fail(contract.ErrModel, errors.New("bad header"))); got != contract.ErrModel {
		t.Errorf("got %s", got)
	}
}

func TestNewest(t *testing.T) {
	dir := t.TempDir()
	at := time.Now()
	for i, name := range []string{"b.jsonl", "a.jsonl", "c.jsonl"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at.Add(time.Duration(i/2)*-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := newest(filepath.Join(dir, "*.jsonl"))
	if err != nil || filepath.Base(got) != "b.jsonl" { // a and b are equally new: the last by name
		t.Errorf("%s, %v", got, err)
	}
	if _, err := newest(filepath.Join(dir, "*.csv")); err == nil || !strings.Contains(err.Error(), "no file matches") {
		t.Error(err)
	}
}

func TestOrdersReachTheTrainingEpoch(t *testing.T) {
	var r registry
	if _, err := r.order("w"); !errors.Is(err, errNotTraining) {
		t.Errorf("nobody trains: %v", err)
	}
	orders, leave := r.enter("w")
	o, err := r.order("w")
	if err != nil {
		t.Fatal(err)
	}
	if got := <-orders; got.done != o.done {
		t.Error("another order arrived")
	}
	late, err := r.order("w")
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if answer := <-late.done; !errors.Is(answer.err, errNotTraining) {
		t.Errorf("an order after the last step must be refused, got %v", answer.err)
	}
	if _, err := r.order("w"); !errors.Is(err, errNotTraining) {
		t.Errorf("left: %v", err)
	}
}

func TestReportForgetsStepsDoneAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), reportName)
	r := openReport(path, 0, 10)
	r.Points = []reportPoint{{Step: 10, TokensPerSecond: 100}, {Step: 20, TokensPerSecond: 300}, {Step: 30, TokensPerSecond: 900}}
	if err := r.write(); err != nil {
		t.Fatal(err)
	}
	r = openReport(path, 20, 10)
	if err := r.write(); err != nil {
		t.Fatal(err)
	}
	if len(r.Points) != 2 || r.Summary.Steps != 20 || r.Summary.MeanTokensPerSecond != 200 {
		t.Errorf("%+v", r.Summary)
	}
}

// The report of a long run is bounded, its points are spread evenly, and its peaks are those
// of the dropped points too.
func TestReportOfALongRunIsThinned(t *testing.T) {
	path := filepath.Join(t.TempDir(), reportName)
	r := openReport(path, 0, 5)
	for step := 1; step <= 40*maxReportPoints; step++ {
		if step == 1 || step%5 == 0 {
			p := reportPoint{Step: step, PeakRSSBytes: 1}
			if step == 15 {
				p.PeakRSSBytes = 7
			}
			r.Points = append(r.Points, p)
			r.thin()
		}
		if step%1000 == 0 {
			if err := r.write(); err != nil {
				t.Fatal(err)
			}
			r = openReport(path, step, 5)
		}
	}
	n := len(r.Points)
	if n > maxReportPoints+2 || n < maxReportPoints/2 || r.Points[0].Step != 1 || r.Summary.PeakRSSBytes != 7 {
		t.Errorf("%d points, %+v", n, r.Summary)
	}
	for i := 3; i < n; i++ {
		if r.Points[i].Step-r.Points[i-1].Step != r.Points[3].Step-r.Points[2].Step {
			t.Fatalf("points at steps %d and %d", r.Points[i-1].Step, r.Points[i].Step)
		}
	}
}
