package deploy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"so8t/contract"
)

// A power cut, as for the services of docker-compose.yml: PostgreSQL, server and worker are killed in the
// middle of an epoch and come back in the wrong order, and the run ends with the same adapter.
func TestSurvivesTheLossOfAll(t *testing.T) {
	s := newStack(t)
	version, err := exec.Command(filepath.Join(root, "bin", "temporal-server"), "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(version), pinned(t, "server", serverModule)) {
		t.Fatalf("bin/temporal-server is %s, tools/server pins %s (%v): make server", bytes.TrimSpace(version), pinned(t, "server", serverModule), err)
	}
	s.makeDatabase()
	s.start("postgres")
	s.until("PostgreSQL answers", s.databaseAnswers)
	s.writeServerConfig()
	s.job("schema", s.serverEnvironment("schema"))
	s.start("temporal")
	s.job("namespace", s.clientEnvironment("namespace"))
	s.connect()
	s.checkNamespace()
	// Every `docker compose up` runs the jobs again, on a database that exists.
	s.job("schema", s.serverEnvironment("schema"))
	s.job("namespace", s.clientEnvironment("namespace"))
	s.checkNamespace()
	s.start("worker")

	dataset := firstRecords(t, 400)
	run, out := s.submit("undisturbed", dataset)
	s.finish(run)
	want := adapter(t, out)

	run, out = s.submit("powercut", dataset)
	reached := s.untilStep(out, 6)
	s.kill()
	if done, _ := filepath.Glob(filepath.Join(out, "final_model", "adapter", "*")); len(done) > 0 {
		t.Fatal("the run was over before the kill")
	}
	before := len(s.said("worker"))
	began := time.Now()
	for _, service := range []string{"worker", "temporal", "postgres"} { // the wrong order: none waits for another
		s.start(service)
	}
	s.until("the worker trains again", func() bool { return strings.Contains(s.said("worker")[before:], "msg=training ") })
	t.Logf("training again %v after the kill", time.Since(began).Round(time.Millisecond))
	s.finish(run)
	t.Logf("done %v after the kill", time.Since(began).Round(time.Millisecond))
	if got := adapter(t, out); got != want {
		t.Errorf("adapter %s, undisturbed %s", got, want)
	}
	if step := firstStep(s.said("worker")[before:]); step < reached {
		t.Errorf("training went on at step %d; a checkpoint of step %d was there", step, reached)
	}
	description, err := s.client.DescribeWorkflowExecution(t.Context(), run.GetID(), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := description.GetWorkflowExecutionInfo().GetExecution().GetRunId(); got != run.GetRunID() {
		t.Errorf("the run was started anew: %s, at first %s", got, run.GetRunID())
	}
	attributes := description.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()
	for _, name := range contract.SearchAttributes() {
		if attributes[name] == nil {
			t.Errorf("search attribute %s is not set", name)
		}
	}
}

func TestDynamicConfigIsValid(t *testing.T) {
	server := filepath.Join(root, "bin", "temporal-server")
	if _, err := os.Stat(server); err != nil && os.Getenv("SO8T_REQUIRE_POSTGRES") != "1" {
		t.Skip("missing: bin/temporal-server (make server)")
	}
	out, err := exec.Command(server, "validate-dynamic-config", "dynamicconfig.yaml").CombinedOutput()
	if err != nil || strings.Contains(string(out), "error") || strings.Contains(string(out), "warning") {
		t.Errorf("%v: %s", err, out)
	}
}

// checkNamespace checks that the namespace job has made what runs need.
func (s *stack) checkNamespace() {
	s.t.Helper()
	env := s.compose.environment(s.t, "namespace", s.dotEnv)
	var kept time.Duration
	s.until("the namespace is there", func() bool {
		request := &workflowservice.DescribeNamespaceRequest{Namespace: env["TEMPORAL_NAMESPACE"]}
		answer, err := s.client.WorkflowService().DescribeNamespace(s.t.Context(), request)
		kept = answer.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()
		return err == nil
	})
	if want, err := time.ParseDuration(env["NAMESPACE_RETENTION"]); err != nil || kept != want {
		s.t.Errorf("the namespace keeps runs for %v, namespace.env says %v %v", kept, want, err)
	}
	request := &operatorservice.ListSearchAttributesRequest{Namespace: env["TEMPORAL_NAMESPACE"]}
	answer, err := s.client.OperatorService().ListSearchAttributes(s.t.Context(), request)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range contract.SearchAttributes() {
		if answer.GetCustomAttributes()[name] != enums.INDEXED_VALUE_TYPE_KEYWORD {
			s.t.Errorf("search attribute %s is %v", name, answer.GetCustomAttributes()[name])
		}
	}
}

// submit starts a small version of the demo. All keys that determine the weights are the same in every
// call.
func (s *stack) submit(id, dataset string) (client.WorkflowRun, string) {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), id)
	run, err := s.client.ExecuteWorkflow(s.t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: contract.TaskQueue}, "Retrain",
		contract.RunInput{Config: "configs/demo.yaml", Set: map[string]any{
			"output_dir": out, "data.input_path": dataset, "device": "cpu", "threads": 2, // tests run at once, and a GPU serves one run
			"training.num_train_epochs": 2, "checkpoint.heartbeat_timeout_seconds": 8, "training.save_steps": 3, "training.eval_steps": 10,
			"training.lora_r": 8, "training.optim": "adamw_8bit",
			"evaluation.max_samples": 8, "evaluation.max_new_tokens": 48, "ab_test.bootstrap_samples": 200,
		}})
	if err != nil {
		s.t.Fatal(err)
	}
	return run, out
}

func (s *stack) finish(run client.WorkflowRun) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	var result contract.Result
	if err := run.Get(ctx, &result); err != nil {
		s.t.Fatalf("%s: %v\nworker:\n%s\ntemporal:\n%s", run.GetID(), err, s.said("worker"), s.said("temporal"))
	}
}

// untilStep waits for a checkpoint in mid-epoch, at that step or later, and returns its step.
func (s *stack) untilStep(out string, step int) (reached int) {
	s.t.Helper()
	s.until(fmt.Sprintf("a checkpoint of step %d", step), func() bool {
		found, _ := filepath.Glob(filepath.Join(out, "checkpoints", "checkpoint_epoch_*_step_*"))
		for _, dir := range found {
			var epoch, at int
			if n, _ := fmt.Sscanf(filepath.Base(dir), "checkpoint_epoch_%d_step_%d", &epoch, &at); n == 2 && at >= step {
				reached = max(reached, at)
			}
		}
		return reached > 0
	})
	return reached
}

// firstStep is the step at which training first begins in a worker's log.
func firstStep(text string) int {
	scan := bufio.NewScanner(strings.NewReader(text))
	for scan.Scan() {
		_, after, ok := strings.Cut(scan.Text(), "msg=training ")
		for _, field := range strings.Fields(after) {
			var at int
			if n, _ := fmt.Sscanf(field, "step=%d", &at); ok && n == 1 {
				return at
			}
		}
	}
	return -1
}

func adapter(t *testing.T, out string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "final_model", "adapter", "adapter_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// firstRecords is the beginning of the demo's dataset.
func firstRecords(t *testing.T, n int) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "demo", "data", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the demo's dataset is missing: %v", err)
	}
	text, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "records.jsonl")
	if err := os.WriteFile(path, bytes.Join(bytes.SplitAfterN(text, []byte("\n"), n+1)[:n], nil), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
