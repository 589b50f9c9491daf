package rundir

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"so8t/configs"
	"so8t/contract"
	"so8t/device"
)

// A run that trains the same weights goes on with the checkpoints, under the digest that they carry, however its
// configuration is written; one that trains others is told what differs in effect, and nothing else.
func TestCase21WhatDiffersInEffect(t *testing.T) {
	cpu, gpu := device.Device{Kind: device.CPU}, device.Device{Kind: device.CUDA}
	run := func(dir, id, named string, on device.Device, change func(*configs.Config)) contract.Run {
		r := runOf(dir, id)
		r.Device, r.Config.Device = on, named
		change(&r.Config)
		return r
	}
	asItIs := func(*configs.Config) {}
	harmless := func(c *configs.Config) {
		c.OutputDir, c.Threads, c.Training.LoggingSteps, c.Training.Optim = "elsewhere/../here", 3, 1, "adamw_8bit"
		c.Data.InputPath = configs.Paths{"other/name.jsonl"}
	}
	for name, tc := range map[string]struct {
		first, second contract.Run
		refused       string // empty: goes on
	}{
		"auto is the device that is named": {run("", "", "auto", cpu, asItIs), run("", "", "cpu", cpu, asItIs), ""},
		"a device that is named is auto":   {run("", "", "cuda:0", gpu, asItIs), run("", "", "auto", gpu, asItIs), ""},
		"cuda is cuda:0":                   {run("", "", "cuda", gpu, asItIs), run("", "", "cuda:0", gpu, asItIs), ""},
		"keys that decide nothing":         {run("", "", "auto", cpu, asItIs), run("", "", "cpu", cpu, harmless), ""},
		"before devices were noted":        {run("", "", "cpu", device.Device{}, asItIs), run("", "", "cpu", cpu, asItIs), ""},
		"auto finds another device":        {run("", "", "auto", gpu, asItIs), run("", "", "auto", cpu, asItIs), "differs: device is cuda there, cpu here;"},
		"one key among many without effect": {run("", "", "auto", cpu, asItIs), run("", "", "cpu", cpu, func(c *configs.Config) {
			harmless(c)
			c.Training.Seed = 7
		}), "differs: training.seed is 42 there, 7 here;"},
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(Layout(dir).Checkpoint("checkpoint_epoch_0_step_3"), 0o755); err != nil {
			t.Fatal(err)
		}
		tc.first.WorkflowID, tc.first.OutputDir = "first", dir
		tc.second.WorkflowID, tc.second.OutputDir = "second", dir
		first, err := Take(t.Context(), tc.first, workflows{}.running)
		if err != nil || first.CheckpointConfig != "" {
			t.Fatalf("%s: %q, %v", name, first.CheckpointConfig, err)
		}
		second, err := Take(t.Context(), tc.second, workflows{}.running)
		if tc.refused != "" {
			if !as[*OtherRunError](err) || !strings.Contains(err.Error(), tc.refused) {
				t.Errorf("%s: %v, want …%s…", name, err, tc.refused)
			}
			continue
		}
		carried := trainingDigest(second)
		if err != nil || second.CheckpointID != "first" || carried != trainingDigest(tc.first) {
			t.Errorf("%s: %q, digest %s, %v", name, second.CheckpointID, carried, err)
		}
		tc.second.WorkflowID = "third" // the second's own digest is not what the checkpoints carry
		third, err := Take(t.Context(), tc.second, workflows{}.running)
		if err != nil || third.CheckpointID != "first" || trainingDigest(third) != carried {
			t.Errorf("%s: after that %q, %s, %v", name, third.CheckpointID, third.CheckpointConfig, err)
		}
	}
}

// trainingDigest is what the run's checkpoints carry.
func trainingDigest(run contract.Run) string {
	return cmp.Or(run.CheckpointConfig, run.Config.TrainingDigest())
}
