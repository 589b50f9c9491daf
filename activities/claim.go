package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/sdk/activity"

	"so8t/configs"
	"so8t/contract"
	"so8t/engine"
	"so8t/engine/phi3"
	"so8t/engine/safetensors"
	"so8t/tokenizer"
)

const workflowIDMark = "{workflow_id}" // in output_dir

// Claim reads the config, checks everything that is cheap to check before hours are spent,
// and takes the output directory for the run.
func (a *Activities) Claim(ctx context.Context, in contract.ClaimInput) (contract.Claimed, error) {
	heart := newBeat(ctx, a.Temporal)
	defer heart.end()
	var claimed contract.Claimed
	c, err := configs.Load(in.Config, in.Set)
	if err != nil {
		return claimed, fail(contract.ErrConfig, err)
	}
	run := contract.Run{WorkflowID: activity.GetInfo(ctx).WorkflowExecution.ID, Host: a.Host, Config: *c, ConfigPath: in.Config}
	run.OutputDir, err = filepath.Abs(strings.ReplaceAll(c.OutputDir, workflowIDMark, fileName(run.WorkflowID)))
	if err != nil {
		return claimed, fail(contract.ErrConfig, err)
	}
	if run.BasePath, err = filepath.Abs(c.Model.BaseModelPath); err != nil {
		return claimed, fail(contract.ErrConfig, err)
	}
	run.BaseName = filepath.Base(run.BasePath)
	heart.tell(contract.Progress{Phase: contract.PhaseClaim, Detail: "checking the base model " + run.BasePath})
	if err := checkBase(run.BasePath, c); err != nil {
		return claimed, fail(contract.ErrModel, err)
	}
	if run.BaseDigest, err = engine.BaseDigest(ctx, run.BasePath); err != nil {
		return claimed, fail(contract.ErrModel, err)
	}
	if run.InputPath, err = newest(c.Data.InputPath); err != nil {
		return claimed, fail(contract.ErrData, err)
	}
	switch {
	case in.Nightly != nil && in.Existing:
		err = fail(contract.ErrConfig, errors.New("nightly: only Retrain makes a new night; to work on an old one, set output_dir to its directory"))
	case in.Nightly != nil:
		run, err = a.takeNight(ctx, run, in)
	default:
		run.CheckpointID, err = a.take(ctx, run, in.Existing)
	}
	if err != nil {
		return claimed, err
	}
	claimed = contract.Claimed{Run: run, Notes: notes(c), SearchAttribute: a.SearchAttributes != nil && a.SearchAttributes(ctx)}
	a.Log.Info("run claimed", "workflow", run.WorkflowID, "output", run.OutputDir, "base", run.BasePath, "dataset", run.InputPath, "config", c.Digest())
	for _, n := range claimed.Notes {
		a.Log.Info(n, "workflow", run.WorkflowID)
	}
	return claimed, nil
}

// checkBase reads a base model's configuration, tokenizer and the headers of its weights.
func checkBase(dir string, c *configs.Config) error {
	if stat, err := os.Stat(dir); err != nil {
		return fmt.Errorf("model.base_model_path: %w", err)
	} else if !stat.IsDir() {
		return fmt.Errorf("model.base_model_path: %s is no directory", dir)
	}
	shape, err := phi3.LoadConfig(dir)
	if err != nil {
		return err
	}
	words, err := tokenizer.Load(dir)
	if err != nil {
		return err
	}
	if words.VocabSize() > shape.VocabSize {
		return fmt.Errorf("%s: the tokenizer's largest id is %d, but the model has only %d embeddings: the tokenizer belongs to another model",
			dir, words.VocabSize()-1, shape.VocabSize)
	}
	for _, layer := range c.SO8T.Layers {
		if c.SO8T.Enabled && layer >= shape.NumHiddenLayers {
			return fmt.Errorf("so8t.layers: %d, but %s has layers 0 to %d", layer, dir, shape.NumHiddenLayers-1)
		}
	}
	weights, err := safetensors.OpenModel(dir)
	if err != nil {
		return err
	}
	return weights.Close()
}

// newest resolves a path or glob: of several matches the one last modified.
func newest(pattern string) (string, error) {
	if info, err := os.Stat(pattern); err == nil && info.Mode().IsRegular() {
		return filepath.Abs(pattern) // also a name that holds a bracket
	}
	matches, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("data.input_path %q: %w", pattern, err)
	}
	var path string
	var last os.FileInfo
	for _, m := range matches {
		info, err := os.Stat(m)
		if errors.Is(err, os.ErrNotExist) || (err == nil && info.IsDir()) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("data.input_path: %w", err)
		}
		// Of equally new ones the last by name: most carry a date in it.
		if last == nil || !info.ModTime().Before(last.ModTime()) {
			path, last = m, info
		}
	}
	if path == "" {
		return "", fmt.Errorf("data.input_path: no file matches %q", pattern)
	}
	return filepath.Abs(path)
}

// notes says what the config's names mean here where it is not what they say.
func notes(c *configs.Config) []string {
	var list []string
	t := c.Training
	switch {
	case t.FP16:
		list = append(list, "fp16: true computes in bfloat16")
	case c.Float32():
		list = append(list, "neither fp16 nor bf16: computing in float32")
	}
	if strings.HasPrefix(t.Optim, "paged_") {
		list = append(list, fmt.Sprintf("%s: states are not paged; the optimizer is the same", t.Optim))
	}
	if t.SaveTotalLimit != c.Checkpoint.MaxCheckpoints {
		list = append(list, fmt.Sprintf("the newest %d checkpoints are kept: the smaller of save_total_limit and max_checkpoints", c.KeepCheckpoints()))
	}
	return list
}
