package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"

	"so8t/configs"
	"so8t/contract"
	"so8t/engine"
	"so8t/engine/phi3"
	"so8t/engine/safetensors"
	"so8t/rundir"
	"so8t/tokenizer"
)

// Claim reads the config, checks every input that is cheap to check before hours are spent, and takes the
// output directory for the run.
func (a *Activities) Claim(ctx context.Context, in contract.ClaimInput) (contract.Claimed, error) {
	b := newBeat(ctx, a.Temporal)
	defer b.end()
	var claimed contract.Claimed
	c, err := configs.Load(in.Config, in.Set)
	if err != nil {
		return claimed, fail(contract.ErrConfig, err)
	}
	run := contract.Run{WorkflowID: activity.GetInfo(ctx).WorkflowExecution.ID, Host: a.Host, Config: *c, ConfigPath: in.Config}
	run.OutputDir, err = filepath.Abs(rundir.Expand(c.OutputDir, run.WorkflowID))
	if err != nil {
		return claimed, fail(contract.ErrConfig, err)
	}
	if run.BasePath, err = filepath.Abs(c.Model.BaseModelPath); err != nil {
		return claimed, fail(contract.ErrConfig, err)
	}
	run.BaseName = filepath.Base(run.BasePath)
	if run.Device, err = claimDevice(c.Device); err != nil {
		return claimed, err
	}
	if err := checkKeepExpanded(c, run.Device, in.Existing); err != nil {
		return claimed, fail(contract.ErrConfig, err)
	}
	b.tell(contract.Progress{Phase: contract.PhaseClaim, Detail: "checking the base model " + run.BasePath})
	if err := checkBase(run.BasePath, c); err != nil {
		return claimed, fail(contract.ErrModel, err)
	}
	data, err := claimData(&run)
	if err != nil {
		return claimed, err
	}
	if run.BaseDigest, err = engine.BaseDigest(ctx, run.BasePath); err != nil {
		return claimed, fail(contract.ErrModel, err)
	}
	b.tell(contract.Progress{Phase: contract.PhaseClaim, Detail: "taking " + run.OutputDir + ", once no other run works there"})
	if run, err = a.take(ctx, run, in); err != nil {
		return claimed, err
	}
	if !in.Existing { // what is evaluated or compared again has its samples already
		if err := data.differs(ctx, run); err != nil {
			return claimed, directoryError(err, run.WorkflowID)
		}
	}
	claimed = contract.Claimed{Run: run, Notes: notes(c), SearchAttribute: a.SearchAttributes != nil && a.SearchAttributes(ctx)}
	a.Log.Info("run claimed", "workflow", run.WorkflowID, "output", run.OutputDir, "base", run.BasePath, "dataset", run.InputPath,
		"device", run.Device.String(), "config", c.Digest())
	for _, n := range claimed.Notes {
		a.Log.Info(n, "workflow", run.WorkflowID)
	}
	return claimed, nil
}

// take makes the run the owner of its output directory, or of a new night's directory in it.
func (a *Activities) take(ctx context.Context, run contract.Run, in contract.ClaimInput) (contract.Run, error) {
	var err error
	switch {
	case in.Nightly != nil && in.Existing:
		err = fail(contract.ErrConfig, errors.New("nightly: only Retrain makes a new night; to work on an old one, set output_dir to its directory"))
	case in.Nightly != nil:
		run, err = a.takeNight(ctx, run, in)
	case in.Existing:
		run, err = rundir.Revisit(ctx, run, a.running)
	default:
		run, err = rundir.Take(ctx, run, a.running)
	}
	return run, directoryError(err, run.WorkflowID)
}

func (a *Activities) takeNight(ctx context.Context, run contract.Run, in contract.ClaimInput) (contract.Run, error) {
	zone, err := in.Nightly.Zone()
	if err != nil {
		return run, fail(contract.ErrConfig, fmt.Errorf("nightly.time_zone: %w", err))
	}
	config, err := filepath.Abs(run.ConfigPath)
	if err != nil {
		return run, fail(contract.ErrConfig, err)
	}
	return rundir.TakeNight(ctx, run, in.ScheduledAt.In(zone), contract.Series{Config: config, Schedule: in.ScheduledBy}, a.running)
}

// running asks the server about a workflow.
func (a *Activities) running(ctx context.Context, workflowID string) (rundir.Status, error) {
	answer, err := a.Temporal.DescribeWorkflowExecution(ctx, workflowID, "")
	var unknown *serviceerror.NotFound
	switch {
	case errors.As(err, &unknown):
		return rundir.Unknown, nil
	case answer.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return rundir.Runs, err
	}
	return rundir.Ended, err
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
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return err
	}
	if err := tryTemplate(tok); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if tok.VocabSize() > shape.VocabSize {
		return fmt.Errorf("%s: the tokenizer's largest id is %d, but the model has only %d embeddings: the tokenizer belongs to another model",
			dir, tok.VocabSize()-1, shape.VocabSize)
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

// tryTemplate renders a short conversation. A template that refuses it as it is may ask for a system turn.
func tryTemplate(tok *tokenizer.Tokenizer) error {
	turns := []tokenizer.Message{{Role: "user", Content: "question"}, {Role: "assistant", Content: "answer"}}
	_, err := tok.ApplyChatTemplate(turns, false)
	if err == nil {
		return nil
	}
	if _, second := tok.ApplyChatTemplate(append([]tokenizer.Message{{Role: "system", Content: "system"}}, turns...), false); second == nil {
		return nil
	}
	return err
}

// notes tells where the run does something else than the config's names suggest.
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
