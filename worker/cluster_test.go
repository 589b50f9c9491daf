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

// cluster is a Temporal server, the worker's binary, and a small dataset.
type cluster struct {
	t       *testing.T
	server  *testsuite.DevServer
	client  client.Client
	binary  string
	dataset string
}

const root = ".." // of the repository: where make demo runs the worker

// newCluster starts the server, with further arguments where there are any.
func newCluster(t *testing.T, server ...string) *cluster {
	t.Helper()
	cli, err := filepath.Abs(filepath.Join(root, "bin", "temporal"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cli); err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	c := &cluster{t: t, binary: filepath.Join(t.TempDir(), "worker")}
	build := exec.Command("go", "build", "-o", c.binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	c.server, err = testsuite.StartDevServer(t.Context(), testsuite.DevServerOptions{ExistingPath: cli, LogLevel: "error", ExtraArgs: server,
		ClientOptions: &client.Options{Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.server.Stop() })
	c.client = c.server.Client()
	c.dataset = c.firstRecords(400)
	return c
}

// firstRecords is the beginning of the demo's dataset.
func (c *cluster) firstRecords(n int) string {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "demo", "data", "*.jsonl"))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("the demo's dataset is missing: %v", err)
	}
	text, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		c.t.Fatal(err)
	}
	path := filepath.Join(c.t.TempDir(), "records.jsonl")
	if err := os.WriteFile(path, bytes.Join(bytes.SplitAfterN(text, []byte("\n"), n+1)[:n], nil), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// process is a running worker.
type process struct {
	*exec.Cmd
	log *os.File
}

func (c *cluster) work() *process { return c.workAs("e2e-" + fmt.Sprint(os.Getpid())) }

// workAs starts a worker for a host of that name.
func (c *cluster) workAs(host string) *process {
	c.t.Helper()
	file, err := os.CreateTemp(c.t.TempDir(), "worker-*.log")
	if err != nil {
		c.t.Fatal(err)
	}
	p := &process{Cmd: exec.Command(c.binary, "run", "--host", host), log: file}
	p.Dir = root
	p.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+c.server.FrontendHostPort(), "TEMPORAL_NAMESPACE=default")
	p.Stderr = file
	if err := p.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { p.end(os.Kill) })
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

// start submits a small version of the demo. All keys that determine the weights are the same in every
// call, unless set changes them.
func (c *cluster) start(id string, set map[string]any) (client.WorkflowRun, string) {
	c.t.Helper()
	out := filepath.Join(c.t.TempDir(), id)
	return c.submit(id, "Retrain", c.settings(out, set)), out
}

func (c *cluster) settings(out string, set map[string]any) contract.RunInput {
	in := contract.RunInput{Config: "configs/demo.yaml", Set: map[string]any{
		"output_dir": out, "data.input_path": c.dataset, "device": "cpu", // tests run at once, and a GPU serves one run
		"training.num_train_epochs": 2, "checkpoint.heartbeat_timeout_seconds": 8, "training.save_steps": 3, "training.eval_steps": 10,
		"training.lora_r": 8, "training.optim": "adamw_8bit",
		"evaluation.max_samples": 8, "evaluation.max_new_tokens": 48, "ab_test.bootstrap_samples": 200,
	}}
	for k, v := range set {
		in.Set[k] = v
	}
	return in
}

func (c *cluster) submit(id, workflow string, in contract.RunInput) client.WorkflowRun {
	c.t.Helper()
	run, err := c.client.ExecuteWorkflow(c.t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: contract.TaskQueue}, workflow, in)
	if err != nil {
		c.t.Fatal(err)
	}
	return run
}

func (c *cluster) finish(run client.WorkflowRun, p *process) contract.Result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 3*time.Minute)
	defer cancel()
	var result contract.Result
	if err := run.Get(ctx, &result); err != nil {
		c.t.Fatalf("%s: %v\nworker:\n%s", run.GetID(), err, p.said())
	}
	return result
}

// untilStep waits for a checkpoint in mid-epoch, at that step or later.
func (c *cluster) untilStep(out string, step int) {
	c.t.Helper()
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
	c.t.Fatalf("no checkpoint of step %d in %s", step, out)
}

// untilLogged waits for a line of a worker's log.
func (c *cluster) untilLogged(p *process, text string) {
	c.t.Helper()
	for range 1200 {
		if strings.Contains(p.said(), text) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Fatalf("the worker never said %s:\n%s", text, p.said())
}

func (c *cluster) update(run client.WorkflowRun, verb string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	handle, err := c.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateName: verb,
		WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		c.t.Fatalf("%s: %v", verb, err)
	}
	var answer string
	if err := handle.Get(ctx, &answer); err != nil {
		c.t.Fatalf("%s: %v", verb, err)
	}
	return answer
}

// waitsForAPerson expects a run to pause by itself for that reason.
func (c *cluster) waitsForAPerson(run client.WorkflowRun, why string) {
	c.t.Helper()
	var p contract.Progress
	for range 300 {
		v, err := c.client.QueryWorkflow(c.t.Context(), run.GetID(), "", contract.QueryProgress)
		if err == nil {
			err = v.Get(&p)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		if p.Paused && strings.Contains(p.Why, why) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.t.Fatalf("%s does not wait with …%s…: %+v", run.GetID(), why, p)
}

func (c *cluster) adapter(out string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "final_model", "adapter", "adapter_model.safetensors"))
	if err != nil {
		c.t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// failsWith expects a run to fail at once, for the given reason.
func (c *cluster) failsWith(run client.WorkflowRun, kind, text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	err := run.Get(ctx, nil)
	var failed *temporal.ApplicationError
	if !errors.As(err, &failed) || failed.Type() != kind || !strings.Contains(failed.Message(), text) || strings.Contains(failed.Message(), "\n") {
		c.t.Errorf("%s: %v\nwant %s with …%s…, in one line", run.GetID(), err, kind, text)
	}
}

func (c *cluster) withBadLines(n int) string {
	c.t.Helper()
	text, err := os.ReadFile(c.dataset)
	if err != nil {
		c.t.Fatal(err)
	}
	path := filepath.Join(c.t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(path, append(text, strings.Repeat("{\"instruction\": 1}\n", n)...), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// brokenBase is a damaged copy of the demo's base.
func (c *cluster) brokenBase(damage func(dir string) error) string {
	c.t.Helper()
	dir := filepath.Join(c.t.TempDir(), "base")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "demo", "base"))); err != nil {
		c.t.Fatal(err)
	}
	if err := damage(dir); err != nil {
		c.t.Fatal(err)
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

// resumedAfter reports whether training first begins at that step or later in a log.
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
