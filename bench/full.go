package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// fullCommand trains Phi-3.5-mini's size, with random weights, as a night on a small machine would.
type fullCommand struct {
	Shape     string `default:"phi35" enum:"${shapes}" help:"${enum}"`
	Work      string `help:"Folder for the weights, 7.6 GB; a temporary one by default."`
	Reuse     bool   `help:"Use the weights that an earlier run left in --work, and leave them for the next."`
	Tokenizer string `help:"Folder of the model's own tokenizer; then the samples are Japanese text."`
	Sequence  int    `default:"256" help:"Tokens of a step."`
	Steps     int    `default:"2"`
	Threads   int    `help:"0: all."`
	Optim     string `default:"paged_adamw_8bit" help:"As in the run's YAML."`
	Gates     bool   `default:"true" negatable:"" help:"SO(8) gates in all layers."`
}

// fullResult is full's last line.
type fullResult struct {
	stepResult
	WriteSeconds float64 `json:"write_seconds"`
	WeightBytes  int64   `json:"weight_bytes"`
	Shape        string  `json:"shape"`
}

// Run prints a fullResult.
func (c *fullCommand) Run(ctx context.Context) (err error) {
	work := c.Work
	if work == "" {
		if work, err = os.MkdirTemp("", "so8t-bench-full-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	}
	base := filepath.Join(work, c.Shape)
	if !c.Reuse {
		defer func() { err = errors.Join(err, os.RemoveAll(base)) }()
	}
	r := fullResult{Shape: c.Shape}
	if err := c.weights(ctx, base, &r); err != nil {
		return err
	}
	fmt.Printf("loading it, then %d optimizer steps of %d tokens with gradient checkpointing, int8 base, r = 64\n", c.Steps, c.Sequence)
	n := strconv.Itoa
	step, err := self("step", "--base", base, "--sequence", n(c.Sequence), "--steps", n(c.Steps), "--warm", n(c.Steps-1), "--threads", n(c.Threads),
		"--optim", c.Optim, "--recompute", "--gates="+strconv.FormatBool(c.Gates), "--text="+strconv.FormatBool(c.Tokenizer != ""))
	if err != nil {
		return err
	}
	if _, err := step.read(ctx, &r.stepResult); err != nil {
		return err
	}
	fmt.Printf("load %.1f s, steps %.1f s, %.1f tokens/s, loss %.3f then %.3f, peak RSS %.2f GiB (%s, %d threads)\n",
		r.LoadSeconds, r.StepSeconds, r.TokensPerSecond, r.LossFirst, r.LossLast, float64(r.PeakRSSBytes)/(1<<30), r.ISA, r.Threads)
	return printJSON(r)
}

// weights writes the model, unless an earlier run left it.
func (c *fullCommand) weights(ctx context.Context, base string, r *fullResult) (err error) {
	if _, missing := os.Stat(filepath.Join(base, "config.json")); missing == nil && c.Reuse {
		return nil
	}
	start := time.Now()
	fmt.Printf("writing a random %s to %s\n", c.Shape, base)
	if r.WeightBytes, err = writeModel(ctx, base, shapes[c.Shape], c.Tokenizer, 1); err != nil {
		return err
	}
	r.WriteSeconds = time.Since(start).Seconds()
	fmt.Printf("%.1f GB in %.0f s\n", float64(r.WeightBytes)/1e9, r.WriteSeconds)
	return nil
}
