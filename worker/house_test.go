package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"so8t/contract"
)

// house is a Temporal server, the worker's binary, and a small dataset.
type house struct {
	t       *testing.T
	server  *testsuite.DevServer
	client  client.Client
	binary  string
	dataset string
}

const root = ".." // of the repository: where make demo runs the worker

// newHouse starts the server, with further arguments where there are any.
func newHouse(t *testing.T, server ...string) *house {
	t.Helper()
	cli, err := filepath.Abs(filepath.Join(root, "bin", "temporal"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cli); err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	h := &house{t: t, binary: filepath.Join(t.TempDir(), "worker")}
	build := exec.Command("go", "build", "-o", h.binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	h.server, err = testsuite.StartDevServer(t.Context(), testsuite.DevServerOptions{ExistingPath: cli, LogLevel: "error", ExtraArgs: server,
		ClientOptions: &client.Options{Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.server.Stop() })
	h.client = h.server.Client()
	h.dataset = h.firstRecords(400)
	return h
}

// firstRecords cuts the demo's dataset.
func (h *house) firstRecords(n int) string {
	h.t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "demo", "data", "*.jsonl"))
	if err != nil || len(files) == 0 {
		h.t.Fatalf("the demo's dataset is missing: %v", err)
	}
	text, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		h.t.Fatal(err)
	}
	path := filepath.Join(h.t.TempDir(), "records.jsonl")
	if err := os.WriteFile(path, bytes.Join(bytes.SplitAfterN(text, []byte("\n"), n+1)[:n], nil), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// process is a worker that runs.
type process struct {
	*exec.Cmd
	log *os.File
}

func (h *house) work() *process { return h.workAs("e2e-" + fmt.Sprint(os.Getpid())) }

// workAs starts a worker that goes by a host's name.
func (h *house) workAs(host string) *process {
	h.t.Helper()
	file, err := os.CreateTemp(h.t.TempDir(), "worker-*.log")
	if err != nil {
		h.t.Fatal(err)
	}
	p := &process{Cmd: exec.Command(h.binary, "serve", "--host", host), log: file}
	p.Dir = root
	p.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+h.server.FrontendHostPort(), "TEMPORAL_NAMESPACE=default")
	p.Stderr = file
	if err := p.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { p.end(os.Kill) })
	return p
}

func (p *process) end(signal os.Signal) {
	if p.ProcessState == nil {
		_ = p.Process.Signal(signal)
		_ = p.Wait()
	}
}

func (p *process) said() string {
	text, _ := os.ReadFile(p.log.Name())
	return string(text)
}

// start submits a small version of the demo. Everything that decides the weights is the same
// in every call.
func (h *house) start(id string, set map[string]any) (client.WorkflowRun, string) {
	h.t.Helper()
	out := filepath.Join(h.t.TempDir(), id)
	return h.submit(id, "Retrain", h.settings(out, set)), out
}

func (h *house) settings(out string, set map[string]any) contract.RunInput {
	in := contract.RunInput{Config: "configs/demo.yaml", Set: map[string]any{
		"output_dir": out, "data.input_path": h.dataset, "device": "cpu", // tests run at once, and a GPU is one's
		"training.num_train_epochs": 2, "checkpoint.heartbeat_timeout_seconds": 8, "training.save_steps": 3, "training.eval_steps": 10, "training.lora_r": 8, "training.optim": "adamw_8bit",
		"evaluation.max_samples": 8, "evaluation.max_new_tokens": 48, "ab_test.bootstrap_samples": 200,
	}}
	for k, v := range set {
		in.Set[k] = v
	}
	return in
}

func (h *house) submit(id, workflow string, in contract.RunInput) client.WorkflowRun {
	h.t.Helper()
	run, err := h.client.ExecuteWorkflow(h.t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: contract.TaskQueue}, workflow, in)
	if err != nil {
		h.t.Fatal(err)
	}
	return run
}

func (h *house) finish(run client.WorkflowRun, p *process) contract.Result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 3*time.Minute)
	defer cancel()
	var result contract.Result
	if err := run.Get(ctx, &result); err != nil {
		h.t.Fatalf("%s: %v\nworker:\n%s", run.GetID(), err, p.said())
	}
	return result
}

// untilStep waits for a checkpoint in mid-epoch, at that step or later.
func (h *house) untilStep(out string, step int) {
	h.t.Helper()
	for range 1200 {
		found, _ := filepath.Glob(filepath.Join(out, "checkpoints", "checkpoint_epoch_*_step_*"))
		for _, dir := range found {
			var epoch, at int
			if n, _ := fmt.Sscanf(filepath.Base(dir), "checkpoint_epoch_%d_step_%d", &epoch, &at); n == 2 && at >= step {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	h.t.Fatalf("no checkpoint of step %d in %s", step, out)
}

// untilLogged waits for a line of a worker's log.
func (h *house) untilLogged(p *process, text string) {
	h.t.Helper()
	for range 1200 {
		if strings.Contains(p.said(), text) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	h.t.Fatalf("the worker never said %s:\n%s", text, p.said())
}

func (h *house) update(run client.WorkflowRun, verb string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	handle, err := h.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateName: verb, WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		h.t.Fatalf("%s: %v", verb, err)
	}
	var answer string
	if err := handle.Get(ctx, &answer); err != nil {
		h.t.Fatalf("%s: %v", verb, err)
	}
	return answer
}

// waitsForAPerson expects a run to pause by itself, saying why.
func (h *house) waitsForAPerson(run client.WorkflowRun, why string) {
	h.t.Helper()
	var p contract.Progress
	for range 300 {
		v, err := h.client.QueryWorkflow(h.t.Context(), run.GetID(), "", contract.QueryProgress)
		if err == nil {
			err = v.Get(&p)
		}
		if err != nil {
			h.t.Fatal(err)
		}
		if p.Paused && strings.Contains(p.Why, why) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	h.t.Fatalf("%s does not wait with …%s…: %+v", run.GetID(), why, p)
}

func (h *house) adapter(out string) string {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "final_model", "adapter", "adapter_model.safetensors"))
	if err != nil {
		h.t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// failsWith expects a run to fail at once, for the given reason.
func (h *house) failsWith(run client.WorkflowRun, kind, text string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	err := run.Get(ctx, nil)
	var failed *temporal.ApplicationError
	if !errors.As(err, &failed) || failed.Type() != kind || !strings.Contains(failed.Message(), text) || strings.Contains(failed.Message(), "\n") {
		h.t.Errorf("%s: %v\nwant %s with …%s…, in one line", run.GetID(), err, kind, text)
	}
}

func (h *house) withBadLines(n int) string {
	h.t.Helper()
	text, err := os.ReadFile(h.dataset)
	if err != nil {
		h.t.Fatal(err)
	}
	path := filepath.Join(h.t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(path, append(text, strings.Repeat("{\"instruction\": 1}\n", n)...), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// brokenBase is the demo's base, damaged.
func (h *house) brokenBase(damage func(dir string) error) string {
	h.t.Helper()
	dir := filepath.Join(h.t.TempDir(), "base")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "demo", "base"))); err != nil {
		h.t.Fatal(err)
	}
	if err := damage(dir); err != nil {
		h.t.Fatal(err)
	}
	return dir
}

func changeJSON(path, key string, value any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	all[key] = value
	if text, err = json.Marshal(all); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// resumedAfter reports whether a log's first training line begins at that step or later.
func resumedAfter(text string, step int) bool {
	scan := bufio.NewScanner(strings.NewReader(text))
	for scan.Scan() {
		_, after, ok := strings.Cut(scan.Text(), "msg=training ")
		if !ok {
			continue
		}
		for _, field := range strings.Fields(after) {
			var at int
			if n, _ := fmt.Sscanf(field, "step=%d", &at); n == 1 {
				return at >= step
			}
		}
	}
	return false
}
