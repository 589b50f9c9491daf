package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"so8t/configs"
	"so8t/contract"
	"so8t/device"
	"so8t/evaluation/report"
	"so8t/native"
	"so8t/rundir"
)

func TestSavedActivationsAreTheConfigurations(t *testing.T) {
	for _, saved := range configs.SavedActivations {
		c := configs.Default()
		c.Training.GradientCheckpointingKeep = saved
		if o := trainingOptions(contract.Run{Config: c}); o.Saved != saved || !o.GradientCheckpointing {
			t.Errorf("gradient_checkpointing_keep: %s is trained with %q", saved, o.Saved)
		}
	}
}

func TestKeepExpandedIsForTrainingOnAGPU(t *testing.T) {
	c := configs.Default()
	c.Model.KeepExpanded = configs.On
	run := contract.Run{Config: c, Device: device.Device{Kind: device.CUDA}}
	if o := trainingOptions(run); o.KeepExpanded != configs.On {
		t.Errorf("training keeps expanded weights: %q", o.KeepExpanded)
	}
	if o := answeringOptions(run); o.KeepExpanded != "" {
		t.Errorf("evaluation keeps expanded weights: %q", o.KeepExpanded)
	}
	for _, tc := range []struct {
		keep     configs.Switch
		kind     device.Kind
		existing bool
		refused  bool
	}{
		{configs.On, device.CPU, false, true}, {configs.On, device.CPU, true, false}, {configs.On, device.CUDA, false, false},
		{configs.Auto, device.CPU, false, false}, {configs.Off, device.CPU, false, false}, {"", device.CPU, false, false},
	} {
		c.Model.KeepExpanded = tc.keep
		err := checkKeepExpanded(&c, device.Device{Kind: tc.kind}, tc.existing)
		if (err != nil) != tc.refused || err != nil && !strings.Contains(err.Error(), "model.keep_expanded") {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

// All models of a run share one file of algorithms, whose digest is in the metadata.
func TestAlgorithmsOfProducts(t *testing.T) {
	j := testJob(t)
	j.run.Config, j.run.Device = configs.Default(), device.Device{Kind: device.CUDA}
	path := j.Algorithms()
	if a, b := trainingOptions(j.run), answeringOptions(j.run); a.Algorithms != path || b.Algorithms != path {
		t.Errorf("training takes its algorithms from %q, evaluation from %q", a.Algorithms, b.Algorithms)
	}
	if sum, err := j.algorithmsDigest(t.Context()); err != nil || sum != "" {
		t.Errorf("without a file: %q, %v", sum, err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	const x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	if sum, err := j.algorithmsDigest(t.Context()); err != nil || sum != x {
		t.Errorf("with a file: %q, %v", sum, err)
	}
}

// testJob is at work in a directory of its own.
func testJob(t *testing.T) *job {
	t.Helper()
	j := &job{run: contract.Run{OutputDir: t.TempDir(), WorkflowID: "w", Config: configs.Default()}, log: slog.New(slog.DiscardHandler)}
	var err error
	if j.Dir, err = rundir.Open(t.Context(), j.run, 1, j.log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
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

// An attempt can be stopped before it has the directory.
func TestStopBeforeTheDirectoryIsTaken(t *testing.T) {
	stops := make(chan struct{})
	close(stops)
	j := &job{stops: stops}
	if err := j.outcome(t.Context(), context.Canceled); errorType(err) != contract.ErrShutdown {
		t.Errorf("got %v", err)
	}
}

// What the writers call their files is what their readers look for.
func TestWritersAgreeWithTheLayout(t *testing.T) {
	l := rundir.Layout("/out")
	for got, want := range map[string]string{
		filepath.Join(l.ABTest(), report.PageName):    l.ABTestReport(),
		filepath.Join(l.ABTest(), report.ResultsName): l.ABTestResults(),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
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
