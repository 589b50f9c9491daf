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

// The whole program: a run writes all it promises; killed, stopped, paused and on another
// number of threads it gives the same adapter, to the bit.
func TestEndToEnd(t *testing.T) {
	c := newCluster(t)
	p := c.work()

	run, out := c.start("undisturbed", map[string]any{"threads": 2})
	result := c.finish(run, p)
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
	want := c.adapter(out)
	if result.Export.AdapterSHA256 != want || result.Compare.Verdict == "" || result.Base.Samples != 8 {
		t.Errorf("result %+v", result)
	}

	t.Run("killed", func(t *testing.T) {
		run, out := c.start("killed", map[string]any{"threads": 1})
		c.untilStep(out, 6)
		p.end(os.Kill)
		p = c.work()
		began := time.Now()
		c.finish(run, p)
		t.Logf("done %v after the kill", time.Since(began).Round(time.Millisecond))
		if got := c.adapter(out); got != want {
			t.Errorf("adapter %s, undisturbed %s", got, want)
		}
		if said := p.said(); !strings.Contains(said, "told_the_server=true") || !resumedAfter(said, 6) {
			t.Errorf("the second worker did not take over from the checkpoint:\n%s", said)
		}
	})

	t.Run("stopped and paused", func(t *testing.T) {
		run, out := c.start("disturbed", map[string]any{"threads": 3, "checkpoint.max_checkpoints": 2})
		c.untilStep(out, 3)
		if answer := c.update(run, contract.VerbPause); !strings.HasPrefix(answer, "paused in phase train") {
			t.Error(answer)
		}
		if answer := c.update(run, contract.VerbResume); !strings.HasPrefix(answer, "resumed") {
			t.Error(answer)
		}
		c.untilStep(out, 24) // in the second epoch, wherever in the first the pause took hold
		p.end(syscall.SIGTERM)
		if said := p.said(); !strings.Contains(said, "reason=shutdown") {
			t.Errorf("told to stop, the worker saved nothing:\n%s", said)
		}
		p = c.work()
		c.finish(run, p)
		if got := c.adapter(out); got != want {
			t.Errorf("adapter %s, undisturbed %s", got, want)
		}
		if kept, _ := filepath.Glob(filepath.Join(out, "checkpoints", "checkpoint_*")); len(kept) > 2 {
			t.Errorf("%d checkpoints are kept, max_checkpoints is 2", len(kept))
		}
	})

	t.Run("again", func(t *testing.T) {
		run, _ := c.start("undisturbed", map[string]any{"output_dir": out, "threads": 2})
		began := time.Now()
		if again := c.finish(run, p); again.Export.AdapterSHA256 != want || again.Compare.Verdict != result.Compare.Verdict {
			t.Errorf("%+v", again)
		}
		if said := p.said(); strings.Count(said, "epoch is done already") != 2 || !strings.Contains(said, "what=evaluate-retrained") {
			t.Errorf("%v: finished work was done again:\n%s", time.Since(began), said)
		}
	})

	t.Run("evaluated and compared again", func(t *testing.T) {
		set := c.settings(out, map[string]any{"ab_test.bootstrap_samples": 300})
		for _, workflow := range []string{"Evaluate", "Compare"} {
			run := c.submit(workflow+"-again", workflow, set)
			again := c.finish(run, p)
			if workflow == "Compare" && again.Compare.Verdict != result.Compare.Verdict {
				t.Errorf("%+v", again.Compare)
			}
			if workflow == "Evaluate" && (again.Retrained.Accuracy != result.Retrained.Accuracy || again.Base.Accuracy != result.Base.Accuracy) {
				t.Errorf("%+v, at first %+v", again.Retrained, result.Retrained)
			}
		}
	})

	t.Run("stop", func(t *testing.T) {
		run, out := c.start("stop", nil)
		c.untilStep(out, 3)
		if answer := c.update(run, contract.VerbCheckpoint); !strings.Contains(answer, "saved checkpoint_epoch_") {
			t.Error(answer)
		}
		if answer := c.update(run, contract.VerbStop); !strings.Contains(answer, "training stopped after step") {
			t.Error(answer)
		}
		result := c.finish(run, p)
		if !result.Stopped || result.Compare.Verdict == "" || result.Steps < 3 {
			t.Errorf("%+v", result)
		}
	})

	t.Run("directory in use", func(t *testing.T) {
		first, out := c.start("first", map[string]any{"training.num_train_epochs": 50})
		c.untilStep(out, 3)
		second, _ := c.start("second", map[string]any{"output_dir": out, "training.num_train_epochs": 50})
		c.failsWith(second, contract.ErrOutputInUse, "in use by workflow first")
		if err := c.client.CancelWorkflow(t.Context(), first.GetID(), ""); err != nil {
			t.Fatal(err)
		}
		var cancelled *temporal.CanceledError
		if err := first.Get(t.Context(), nil); !errors.As(err, &cancelled) {
			t.Errorf("cancelled run: %v", err)
		}
		third, _ := c.start("third", map[string]any{"output_dir": out, "training.learning_rate": 5e-4})
		c.failsWith(third, contract.ErrOutputOther, "training.learning_rate is 0.001 there, 0.0005 here")
	})

	t.Run("disk full", func(t *testing.T) {
		disk := filepath.Join(t.TempDir(), "small")
		if err := os.Mkdir(disk, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk).CombinedOutput(); err != nil {
			t.Skipf("a small disk needs the right to mount one: %s", out)
		}
		t.Cleanup(func() { _ = exec.Command("umount", disk).Run() })
		run, _ := c.start("full", map[string]any{"output_dir": filepath.Join(disk, "out"), "training.num_train_epochs": 1})
		c.waitsForAPerson(run, "no space left on device")
		if out, err := exec.Command("mount", "-o", "remount,size=200m", disk).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		c.update(run, contract.VerbResume)
		c.finish(run, p)
	})

	t.Run("bad input in the terminal", func(t *testing.T) {
		command := exec.Command(c.binary, "start", "--config", "configs/demo.yaml", "--base-model", "/no/such/base", "--output", t.TempDir())
		command.Dir, command.Env = root, p.Env
		var errors bytes.Buffer
		command.Stderr = &errors
		err := command.Run()
		if line := errors.String(); err == nil || strings.Count(line, "\n") != 1 || !strings.Contains(line, "ModelError: model.base_model_path: stat /no/such/base: no such file or directory") {
			t.Errorf("%v: %q", err, line)
		}
	})

	t.Run("bad input", func(t *testing.T) {
		for name, tc := range map[string]struct {
			set        map[string]any
			kind, text string
		}{
			"missing base":    {map[string]any{"model.base_model_path": "/no/such/base"}, contract.ErrModel, "/no/such/base"},
			"missing dataset": {map[string]any{"data.input_path": "/no/such/*.jsonl"}, contract.ErrData, "/no/such/*.jsonl"},
			"bad lines":       {map[string]any{"data.input_path": c.withBadLines(20)}, contract.ErrData, "max_bad_fraction"},
			"truncated weights": {map[string]any{"model.base_model_path": c.brokenBase(func(dir string) error {
				return os.Truncate(filepath.Join(dir, "model.safetensors"), 1<<20)
			})}, contract.ErrModel, "model.safetensors"},
			"missing tensors": {map[string]any{"model.base_model_path": c.brokenBase(func(dir string) error {
				return changeJSON(filepath.Join(dir, "config.json"), "num_hidden_layers", 9)
			})}, contract.ErrModel, "model.layers."},
			"another tokenizer": {map[string]any{"model.base_model_path": c.brokenBase(func(dir string) error {
				return changeJSON(filepath.Join(dir, "config.json"), "vocab_size", 64)
			})}, contract.ErrModel, "the tokenizer belongs to another model"},
			"divergence":  {map[string]any{"training.learning_rate": 1e6, "training.max_grad_norm": 1e9, "training.warmup_ratio": 0.0}, contract.ErrDiverged, "lower training.learning_rate"},
			"unknown key": {map[string]any{"training.lora_rank": 3}, contract.ErrConfig, "training.lora_rank: unknown key; did you mean lora_r?"},
		} {
			run, _ := c.start("bad-"+strings.ReplaceAll(name, " ", "-"), tc.set)
			c.failsWith(run, tc.kind, tc.text)
		}
	})
}
