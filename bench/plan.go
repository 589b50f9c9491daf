package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"so8t/configs"
	"so8t/engine"
)

// planResult is plan's last line.
type planResult struct {
	Shape    string `json:"shape"`
	Sequence int    `json:"sequence"`
	Batch    int    `json:"batch"`
	Keep     string `json:"keep"`
	Optim    string `json:"optim"`
	Bytes    int64  `json:"bytes"` // the library's workspace apart
}

// plan is `bench plan`: the memory of a training run, exactly as it will be allocated, from its shape alone.
func plan(_ context.Context, args []string) error {
	f := flag.NewFlagSet("plan", flag.ContinueOnError)
	name := f.String("shape", "phi35", "tiny, 100m or phi35")
	sequence := f.Int("sequence", 2048, "tokens of a sample")
	batch := f.Int("batch", 1, "samples of a row")
	keep := f.String("keep", "inputs", "all, attention or inputs: what is kept for the backward pass")
	optim := f.String("optim", "paged_adamw_8bit", "as in the run's YAML")
	gates := f.Bool("gates", true, "SO(8) gates in all layers")
	if err := f.Parse(args); err != nil {
		return err
	}
	s, err := shapeNamed(*name)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "so8t-plan-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := json.Marshal(s.config())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
	}
	if err != nil {
		return err
	}
	needs, err := engine.Plan(engine.Options{BasePath: dir, Int8: true, Training: true, GradientCheckpointing: true, Saved: *keep, Optim: *optim,
		MaxTokens: *sequence * *batch, MaxLength: *sequence, LoRA: engine.LoRAOptions{R: 64, Alpha: 128, Dropout: 0.05, TargetModules: configs.Projections},
		Gates: engine.GateOptions{Enabled: *gates}})
	if err != nil {
		return err
	}
	r := planResult{Shape: *name, Sequence: *sequence, Batch: *batch, Keep: *keep, Optim: *optim}
	for _, n := range needs {
		fmt.Printf("%-24s %8.3f GiB\n", n.Purpose, float64(n.Bytes)/(1<<30))
		r.Bytes += n.Bytes
	}
	fmt.Printf("%-24s %8.3f GiB\n", "in all", float64(r.Bytes)/(1<<30))
	return printJSON(r)
}
