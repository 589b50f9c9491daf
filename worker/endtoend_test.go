package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"so8t/contract"
)

// endToEnd is the cluster of TestEndToEnd, and the undisturbed run with which the others are compared.
type endToEnd struct {
	*cluster
	worker *process
	out    string          // where the undisturbed run wrote
	result contract.Result // of it
	want   string          // its adapter
}

// The whole program: a run writes every file that it promises, and gives the same adapter, to the bit, if
// it is killed, stopped or paused, or runs on another number of threads.
func TestEndToEnd(t *testing.T) {
	e := &endToEnd{cluster: newCluster(t)}
	e.worker = e.work()
	e.undisturbed(t)
	for _, life := range []struct {
		name string
		live func(*testing.T)
	}{
		{"plain", e.plain},
		{"killed", e.killed},
		{"stopped and paused", e.stoppedAndPaused},
		{"again", e.again},
		{"evaluated and compared again", e.evaluatedAgain},
		{"stop", e.stop},
		{"directory in use", e.directoryInUse},
		{"disk full", e.diskFull},
		{"bad input in the terminal", e.badInputInTheTerminal},
		{"bad input", e.badInput},
	} {
		t.Run(life.name, life.live)
	}
}

func (e *endToEnd) undisturbed(t *testing.T) {
	run, out := e.start("undisturbed", map[string]any{"threads": 2})
	e.out = out
	e.result = e.finish(run, e.worker)
	for _, name := range []string{
		"splits/train.arrow", "splits/val.arrow", "splits/test.arrow", "splits/manifest.json", "splits/policy_report.json",
		"final_model/adapter/adapter_config.json", "final_model/adapter/adapter_model.safetensors",
		"final_model/adapter_oft/adapter_config.json", "final_model/adapter_oft/adapter_model.safetensors",
		"final_model/merged/config.json", "final_model/merged/tokenizer.json", "final_model/so8t_retraining_metadata.json",
		"performance_report.json", "evaluation/base.json", "evaluation/retrained.json",
		"ab_test/ab_test_results.json", "ab_test/ab_test_report.html", "logs/undisturbed.log",
	} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	e.want = e.adapter(out)
	if e.result.Export.AdapterSHA256 != e.want || e.result.Compare.Verdict == "" || e.result.Base.Samples != 8 {
		t.Errorf("result %+v", e.result)
	}
}

// A fine-tune without labels ends with a report and a verdict on token loss, and a card of its data.
func (e *endToEnd) plain(t *testing.T) {
	run, out := e.start("plain", map[string]any{"data.four_class": false, "data.use_quadruple_thinking": false, "promotion.min_loss_reduction": 0.001})
	r := e.finish(run, e.worker)
	if !r.Base.Plain || !r.Retrained.Plain || r.Base.Samples == 0 || r.Base.Perplexity <= 1 || r.Base.Accuracy != 0 || r.Compare.Verdict == "" {
		t.Errorf("base %+v, retrained %+v, verdict %s", r.Base, r.Retrained, r.Compare.Verdict)
	}
	table := r.Compare.Table
	if !strings.Contains(table, "Wilcoxon") || strings.Contains(table, "accuracy") || !strings.Contains(table, "must fall by at least") {
		t.Errorf("the table is\n%s", table)
	}
	for name, absent := range map[string]string{"evaluation/retrained.json": "\"confusion\"", "ab_test/ab_test_results.json": "\"mcnemar\"",
		"ab_test/ab_test_report.html": "id=\"confusion\"", "splits/data_card.html": "ALLOW", "splits/data_card.md": "ALLOW"} {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || len(text) == 0 || strings.Contains(string(text), absent) {
			t.Errorf("%s: %d bytes, with %s: %t, %v", name, len(text), absent, strings.Contains(string(text), absent), err)
		}
	}
}

func (e *endToEnd) killed(t *testing.T) {
	run, out := e.start("killed", map[string]any{"threads": 1})
	e.untilStep(out, 6)
	e.worker.end(os.Kill)
	e.worker = e.work()
	began := time.Now()
	e.finish(run, e.worker)
	t.Logf("done %v after the kill", time.Since(began).Round(time.Millisecond))
	if got := e.adapter(out); got != e.want {
		t.Errorf("adapter %s, undisturbed %s", got, e.want)
	}
	if said := e.worker.said(); !strings.Contains(said, "told_the_server=true") || !resumedAfter(said, 6) {
		t.Errorf("the second worker did not take over from the checkpoint:\n%s", said)
	}
}

func (e *endToEnd) stoppedAndPaused(t *testing.T) {
	run, out := e.start("disturbed", map[string]any{"threads": 3, "checkpoint.max_checkpoints": 2})
	e.untilStep(out, 3)
	if answer := e.update(run, contract.VerbPause); !strings.HasPrefix(answer, "paused in phase train") {
		t.Error(answer)
	}
	if answer := e.update(run, contract.VerbResume); !strings.HasPrefix(answer, "resumed") {
		t.Error(answer)
	}
	e.untilStep(out, 24) // in the second epoch, wherever in the first the pause took effect
	e.worker.end(syscall.SIGTERM)
	if said := e.worker.said(); !strings.Contains(said, "reason=shutdown") {
		t.Errorf("told to stop, the worker saved nothing:\n%s", said)
	}
	e.worker = e.work()
	e.finish(run, e.worker)
	if got := e.adapter(out); got != e.want {
		t.Errorf("adapter %s, undisturbed %s", got, e.want)
	}
	if left, _ := filepath.Glob(filepath.Join(out, "checkpoints", "checkpoint_*")); len(left) > 2 {
		t.Errorf("%d checkpoints are left, max_checkpoints is 2", len(left))
	}
}

func (e *endToEnd) again(t *testing.T) {
	run, _ := e.start("undisturbed", map[string]any{"output_dir": e.out, "threads": 2})
	began := time.Now()
	if again := e.finish(run, e.worker); again.Export.AdapterSHA256 != e.want || again.Compare.Verdict != e.result.Compare.Verdict {
		t.Errorf("%+v", again)
	}
	if said := e.worker.said(); strings.Count(said, "epoch is done already") != 2 || !strings.Contains(said, "what=evaluate-retrained") {
		t.Errorf("%v: finished work was done again:\n%s", time.Since(began), said)
	}
}

func (e *endToEnd) evaluatedAgain(t *testing.T) {
	set := e.settings(e.out, map[string]any{"ab_test.bootstrap_samples": 300})
	for _, workflow := range []string{"Evaluate", "Compare"} {
		run := e.submit(workflow+"-again", workflow, set)
		again := e.finish(run, e.worker)
		if workflow == "Compare" && again.Compare.Verdict != e.result.Compare.Verdict {
			t.Errorf("%+v", again.Compare)
		}
		if workflow == "Evaluate" && (again.Retrained.Accuracy != e.result.Retrained.Accuracy || again.Base.Accuracy != e.result.Base.Accuracy) {
			t.Errorf("%+v, at first %+v", again.Retrained, e.result.Retrained)
		}
	}
}

func (e *endToEnd) stop(t *testing.T) {
	run, out := e.start("stop", nil)
	e.untilStep(out, 3)
	if answer := e.update(run, contract.VerbCheckpoint); !strings.Contains(answer, "saved checkpoint_epoch_") {
		t.Error(answer)
	}
	if answer := e.update(run, contract.VerbStop); !strings.Contains(answer, "training stopped after step") {
		t.Error(answer)
	}
	result := e.finish(run, e.worker)
	if !result.Stopped || result.Compare.Verdict == "" || result.Steps < 3 {
		t.Errorf("%+v", result)
	}
}

func (e *endToEnd) directoryInUse(t *testing.T) {
	first, out := e.start("first", map[string]any{"training.num_train_epochs": 50})
	e.untilStep(out, 3)
	second, _ := e.start("second", map[string]any{"output_dir": out, "training.num_train_epochs": 50})
	e.failsWith(second, contract.ErrOutputInUse, "in use by workflow first")
	if err := e.client.CancelWorkflow(t.Context(), first.GetID(), ""); err != nil {
		t.Fatal(err)
	}
	var cancelled *temporal.CanceledError
	if err := first.Get(t.Context(), nil); !errors.As(err, &cancelled) {
		t.Errorf("cancelled run: %v", err)
	}
	third, _ := e.start("third", map[string]any{"output_dir": out, "training.learning_rate": 5e-4})
	e.failsWith(third, contract.ErrOutputOther, "training.learning_rate is 0.001 there, 0.0005 here")
}

func (e *endToEnd) diskFull(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("a small disk needs the right to mount one: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", disk).Run() })
	run, _ := e.start("full", map[string]any{"output_dir": filepath.Join(disk, "out"), "training.num_train_epochs": 1})
	e.waitsForAPerson(run, "no space left on device")
	if out, err := exec.Command("mount", "-o", "remount,size=200m", disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e.update(run, contract.VerbResume)
	e.finish(run, e.worker)
}

func (e *endToEnd) badInputInTheTerminal(t *testing.T) {
	command := exec.Command(e.binary, "start", "--config", "configs/demo.yaml", "--base-model", "/no/such/base", "--output", t.TempDir())
	command.Dir, command.Env = root, e.worker.Env
	var errors bytes.Buffer
	command.Stderr = &errors
	err := command.Run()
	const want = "ModelError: model.base_model_path: stat /no/such/base: no such file or directory"
	if line := errors.String(); err == nil || strings.Count(line, "\n") != 1 || !strings.Contains(line, want) {
		t.Errorf("%v: %q", err, line)
	}
}

func (e *endToEnd) badInput(t *testing.T) {
	for name, tc := range map[string]struct {
		set        map[string]any
		kind, text string
	}{
		"missing base":    {map[string]any{"model.base_model_path": "/no/such/base"}, contract.ErrModel, "/no/such/base"},
		"missing dataset": {map[string]any{"data.input_path": "/no/such/*.jsonl"}, contract.ErrData, "/no/such/*.jsonl"},
		"bad lines":       {map[string]any{"data.input_path": e.withBadLines(20)}, contract.ErrData, "max_bad_fraction"},
		"truncated weights": {map[string]any{"model.base_model_path": e.brokenBase(func(dir string) error {
			return os.Truncate(filepath.Join(dir, "model.safetensors"), 1<<20)
		})}, contract.ErrModel, "model.safetensors"},
		"missing tensors": {map[string]any{"model.base_model_path": e.brokenBase(func(dir string) error {
			return changeJSON(filepath.Join(dir, "config.json"), "num_hidden_layers", 9)
		})}, contract.ErrModel, "model.layers."},
		"another tokenizer": {map[string]any{"model.base_model_path": e.brokenBase(func(dir string) error {
			return changeJSON(filepath.Join(dir, "config.json"), "vocab_size", 64)
		})}, contract.ErrModel, "the tokenizer belongs to another model"},
		"divergence": {map[string]any{"training.learning_rate": 1e6, "training.max_grad_norm": 1e9, "training.warmup_ratio": 0.0},
			contract.ErrDiverged, "lower training.learning_rate"},
		"unknown key": {map[string]any{"training.lora_rank": 3}, contract.ErrConfig, "training.lora_rank: unknown key; did you mean lora_r?"},
	} {
		run, _ := e.start("bad-"+strings.ReplaceAll(name, " ", "-"), tc.set)
		e.failsWith(run, tc.kind, tc.text)
	}
}
