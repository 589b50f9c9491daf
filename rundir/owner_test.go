package rundir

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"so8t/configs"
	"so8t/contract"
	"so8t/disk"
	"so8t/version"
)

// workflows answers as a Temporal server would: workflow id → does it run. One that is absent has ended.
type workflows map[string]bool

func (w workflows) running(_ context.Context, id string) (Status, error) {
	if w[id] {
		return Runs, nil
	}
	return Ended, nil
}

// otherServer knows no workflow.
func otherServer(context.Context, string) (Status, error) { return Unknown, nil }

func runOf(dir, workflowID string) contract.Run {
	c := configs.Default()
	c.Checkpoint.HeartbeatTimeoutSeconds = 1
	return contract.Run{WorkflowID: workflowID, Host: "h", OutputDir: dir, InputPath: "d.jsonl", BaseDigest: "base", Config: c}
}

// dirOf is a directory that nobody contends for.
func dirOf(path string) *Dir { return &Dir{Layout: Layout(path), log: slog.New(slog.DiscardHandler)} }

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestOutputDirectoryHasOneOwner(t *testing.T) {
	server, dir := workflows{"first": true}, t.TempDir()
	take := func(run contract.Run) (string, error) {
		run, err := Take(t.Context(), run, server.running)
		return run.CheckpointID, err
	}

	if origin, err := take(runOf(dir, "first")); err != nil || origin != "first" {
		t.Fatalf("%q, %v", origin, err)
	}
	if _, err := take(runOf(dir, "first")); err != nil {
		t.Errorf("a retry of the claim: %v", err)
	}
	_, err := take(runOf(dir, "second"))
	if !as[*InUseError](err) || !strings.Contains(err.Error(), "workflow first") || !strings.Contains(err.Error(), dir) {
		t.Errorf("second run while the first runs: %v", err)
	}

	server["first"] = false
	if err := os.MkdirAll(Layout(dir).Checkpoint("checkpoint_epoch_0_step_3"), 0o755); err != nil {
		t.Fatal(err)
	}
	other := runOf(dir, "second")
	other.Config.Training.LoraR = 8
	_, err = take(other)
	if !as[*OtherRunError](err) || !strings.Contains(err.Error(), "training.lora_r is 64 there, 8 here") {
		t.Errorf("another config over a trained run: %v", err)
	}
	base := runOf(dir, "second")
	base.BaseDigest = "another"
	if _, err = take(base); !as[*OtherRunError](err) || !strings.Contains(err.Error(), "base model") {
		t.Errorf("another base over a trained run: %v", err)
	}

	// The same work under a new name goes on with the old checkpoints, under their old id.
	if origin, err := take(runOf(dir, "second")); err != nil || origin != "first" {
		t.Errorf("taking over an ended run: %q, %v", origin, err)
	}
	server["second"] = true
	if _, err := take(runOf(dir, "first")); !as[*InUseError](err) || !strings.Contains(err.Error(), "workflow second") {
		t.Errorf("the first again, while the second runs: %v", err)
	}
}

// What failed before anything was trained must not block the next try.
func TestUntrainedDirectoryIsTakenWithAnotherConfig(t *testing.T) {
	dir := t.TempDir()
	if _, err := Take(t.Context(), runOf(dir, "first"), workflows{}.running); err != nil {
		t.Fatal(err)
	}
	other := runOf(dir, "second")
	other.Config.Training.LoraR = 8
	if run, err := Take(t.Context(), other, workflows{}.running); err != nil || run.CheckpointID != "second" || run.CheckpointConfig != "" {
		t.Errorf("%q, %q, %v", run.CheckpointID, run.CheckpointConfig, err)
	}
}

func TestEvaluationNeedsARun(t *testing.T) {
	dir := t.TempDir()
	_, err := Revisit(t.Context(), runOf(dir, "w"), workflows{}.running)
	if !as[*DirError](err) || !strings.Contains(err.Error(), "holds no run") {
		t.Errorf("got %v", err)
	}
	if _, err := Take(t.Context(), runOf(dir, "w"), workflows{}.running); err != nil {
		t.Fatal(err)
	}
	if run, err := Revisit(t.Context(), runOf(dir, "evaluate"), workflows{}.running); err != nil || run.CheckpointID != "w" {
		t.Errorf("%q, %v", run.CheckpointID, err)
	}
	if o, err := Layout(dir).readOwner(); err != nil || o.WorkflowID != "w" {
		t.Errorf("a revisited run belongs to %q, %v", o.WorkflowID, err)
	}
	other := runOf(dir, "evaluate")
	other.Config.Training.LoraR = 8
	if _, err := Revisit(t.Context(), other, workflows{}.running); !as[*OtherRunError](err) {
		t.Errorf("another config: %v", err)
	}
}

// The server may not know the workflow, but its worker still holds the lease.
func TestOwnerThatStillWorksKeepsTheDirectory(t *testing.T) {
	dir := t.TempDir()
	if _, err := Take(t.Context(), runOf(dir, "first"), workflows{}.running); err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), runOf(dir, "first"), 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), runOf(dir, "second"), workflows{}.running); !as[*disk.HeldError](err) || as[*DirError](err) {
		t.Errorf("while the first holds the lease: %v", err)
	}
	d.Close()
	if _, err := Take(t.Context(), runOf(dir, "second"), workflows{}.running); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Two servers know nothing of each other's runs, and between two activities no lease is held: who was taken over from
// finds it out there too, and who took over works undisturbed.
func TestTakenOver(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	claim := func(id string, take func(context.Context, contract.Run, Running) (contract.Run, error)) contract.Run {
		t.Helper()
		run, err := take(t.Context(), runOf(dir, id), otherServer)
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	opens := func(run contract.Run) error {
		d, err := Open(t.Context(), run, time.Now().UnixMicro(), log)
		if err == nil {
			d.Close()
		}
		return err
	}
	first, began := claim("first", Take), time.Now()
	if err := opens(first); err != nil {
		t.Fatal(err)
	}
	third := claim("third", Take)
	if waited := time.Since(began); waited < 900*time.Millisecond {
		t.Errorf("taken over %v after the first run gave the lease back; it may only be between two activities", waited)
	}
	noServer := func(context.Context, string) (Status, error) { return Unknown, errors.New("asked") }
	if again, err := Take(t.Context(), third, noServer); err != nil || again.CheckpointID != "first" {
		t.Errorf("a retry of the claim: %q, %v", again.CheckpointID, err)
	}
	evaluates := claim("evaluates", Revisit)
	for range 2 { // a refusal leaves no lease behind
		if err := opens(first); !as[*TakenOverError](err) || !strings.Contains(err.Error(), "taken over by workflow third on host h") {
			t.Errorf("the first run goes on: %v", err)
		}
		if err := errors.Join(opens(third), opens(evaluates)); err != nil {
			t.Error(err)
		}
	}
	d, err := Open(t.Context(), third, time.Now().UnixMicro(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := opens(first); !as[*TakenOverError](err) {
		t.Errorf("the first run goes on while the third works: %v", err)
	}
	if err := os.Remove(Layout(dir).owner()); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if err := opens(first); err != nil {
		t.Errorf("once nobody is the owner: %v", err)
	}
}

// A server that does not answer says nothing about the directory: the claim is tried again.
func TestUnansweredQuestionIsNoVerdict(t *testing.T) {
	dir, away := t.TempDir(), errors.New("server away")
	if _, err := Take(t.Context(), runOf(dir, "first"), workflows{}.running); err != nil {
		t.Fatal(err)
	}
	_, err := Take(t.Context(), runOf(dir, "second"), func(context.Context, string) (Status, error) { return Unknown, away })
	if !errors.Is(err, away) || as[*DirError](err) || as[*InUseError](err) {
		t.Errorf("got %v", err)
	}
}

func TestDamagedOwnerIsReported(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(Layout(dir).owner(), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), runOf(dir, "w"), workflows{}.running); !as[*DirError](err) || !strings.Contains(err.Error(), "run.json") {
		t.Errorf("got %v", err)
	}
}

// run.json is read by older and newer versions.
func TestOwnerFormat(t *testing.T) {
	run := runOf(t.TempDir(), "w")
	run.Night = &contract.Night{Root: "/out", Name: "2026-11-25T0200", Series: contract.Series{Config: "/c.yaml", Schedule: "s"}, At: at(25)}
	if _, err := Take(t.Context(), run, workflows{}.running); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := disk.ReadJSON(filepath.Join(run.OutputDir, "run.json"), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "since")
	if config, _ := got["config"].(map[string]any); config["output_dir"] == nil {
		t.Errorf("config is %v", got["config"])
	}
	delete(got, "config")
	if by, _ := got["version"].(map[string]any); by["tag"] != version.Current().Tag {
		t.Errorf("version is %v", got["version"])
	}
	delete(got, "version")
	want := map[string]any{"workflow_id": "w", "origin": "w", "host": "h", "input_path": "d.jsonl", "base_digest": "base",
		"night": map[string]any{"root": "/out", "name": "2026-11-25T0200", "config": "/c.yaml", "schedule": "s", "at": "2026-11-24T17:00:00Z"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("run.json holds %v, want %v", got, want)
	}
}
