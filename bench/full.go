package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// fullResult is full's last line.
type fullResult struct {
	stepResult
	WriteSeconds float64 `json:"write_seconds"`
	WeightBytes  int64   `json:"weight_bytes"`
	Shape        string  `json:"shape"`
}

// full is `bench full`: Phi-3.5-mini's size, with random weights, as a night on a small machine would train it.
func full(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet("full", flag.ContinueOnError)
	name := f.String("shape", "phi35", "tiny, 100m or phi35")
	work := f.String("work", "", "folder for the weights, 7.6 GB; empty: a temporary one")
	keep := f.Bool("keep", false, "keep the weights, and use those of an earlier run")
	tokenizer := f.String("tokenizer", "", "folder of the model's own tokenizer; then the samples are Japanese text")
	sequence := f.Int("sequence", 256, "tokens of a step")
	steps := f.Int("steps", 2, "")
	threads := f.Int("threads", 0, "0: all")
	optim := f.String("optim", "paged_adamw_8bit", "as in the run's YAML")
	gates := f.Bool("gates", true, "SO(8) gates in all layers")
	if err := f.Parse(args); err != nil {
		return err
	}
	s, err := shapeNamed(*name)
	if err != nil {
		return err
	}
	if *work == "" {
		if *work, err = os.MkdirTemp("", "so8t-bench-full-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(*work)) }()
	}
	base := filepath.Join(*work, *name)
	if !*keep {
		defer func() { err = errors.Join(err, os.RemoveAll(base)) }()
	}
	r := fullResult{Shape: *name}
	start := time.Now()
	if _, missing := os.Stat(filepath.Join(base, "config.json")); missing != nil || !*keep {
		fmt.Printf("writing a random %s to %s\n", *name, base)
		if r.WeightBytes, err = writeModel(ctx, base, s, *tokenizer, 1); err != nil {
			return err
		}
		r.WriteSeconds = time.Since(start).Seconds()
		fmt.Printf("%.1f GB in %.0f s\n", float64(r.WeightBytes)/1e9, r.WriteSeconds)
	}
	fmt.Printf("loading it, then %d optimizer steps of %d tokens with gradient checkpointing, int8 base, r = 64\n", *steps, *sequence)
	err = self(ctx, &r.stepResult, "step", "-base", base, "-sequence", strconv.Itoa(*sequence), "-steps", strconv.Itoa(*steps), "-warm", strconv.Itoa(*steps-1),
		"-threads", strconv.Itoa(*threads), "-optim", *optim, "-recompute", "-gates="+strconv.FormatBool(*gates), "-text="+strconv.FormatBool(*tokenizer != ""))
	if err != nil {
		return err
	}
	fmt.Printf("load %.1f s, steps %.1f s, %.1f tokens/s, loss %.3f then %.3f, peak RSS %.2f GiB (%s, %d threads)\n",
		r.LoadSeconds, r.StepSeconds, r.TokensPerSecond, r.LossFirst, r.LossLast, float64(r.PeakRSSBytes)/(1<<30), r.ISA, r.Threads)
	return printJSON(r)
}
