package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.temporal.io/sdk/activity"

	"so8t/contract"
	"so8t/dataset"
	"so8t/disk"
	"so8t/engine"
	"so8t/evaluation"
	"so8t/export/peft"
	"so8t/rundir"
	"so8t/tokenizer"
)

// Evaluate measures one model, base or retrained, on the test part.
func (a *Activities) Evaluate(ctx context.Context, in contract.EvaluateInput) (contract.EvaluateResult, error) {
	j, ctx, err := a.begin(ctx, in.Run)
	if err != nil {
		return contract.EvaluateResult{}, err
	}
	defer j.end()
	result, err := j.evaluate(ctx, in)
	return result, j.outcome(ctx, err)
}

func (j *job) evaluate(ctx context.Context, in contract.EvaluateInput) (out contract.EvaluateResult, err error) {
	file := j.Evaluation(in.Model)
	key, err := j.evaluationKey(ctx, in)
	if err != nil {
		return out, err
	}
	what := "evaluate-" + in.Model
	answered := rundir.NewJournal[evaluation.Batch](j.Dir, what)
	out, err = rundir.Once(j.Dir, what, key, []string{file}, func() (contract.EvaluateResult, error) {
		e, err := j.answers(ctx, in.Model, answered, key)
		if err != nil {
			return out, err
		}
		if err := j.Lease.During(func() error { return e.Save(file) }); err != nil {
			return out, err
		}
		if e.Options.Plain {
			j.log.Info("evaluated", "model", in.Model, "samples", e.Samples, "token_loss", round(e.TokenLoss), "perplexity", round(e.Perplexity))
			return contract.EvaluateResult{Model: in.Model, File: file, Samples: e.Samples, Plain: true, TokenLoss: e.TokenLoss,
				Perplexity: e.Perplexity, TokensPerSec: e.TokensPerSecond}, nil
		}
		j.log.Info("evaluated", "model", in.Model, "samples", e.Samples, "accuracy", round(e.Accuracy), "macro_f1", round(e.MacroF1),
			"false_allow_rate", round(e.FalseAllowRate), "well_formed_rate", round(e.WellFormedRate))
		return contract.EvaluateResult{Model: in.Model, File: file, Samples: e.Samples, Accuracy: e.Accuracy, MacroF1: e.MacroF1,
			FalseAllowRate: e.FalseAllowRate, WellFormedRate: e.WellFormedRate, TokenLoss: e.TokenLoss, TokensPerSec: e.TokensPerSecond}, nil
	})
	if err != nil {
		return out, err
	}
	return out, answered.Remove()
}

// evaluationKey digests everything that the figures depend on.
func (j *job) evaluationKey(ctx context.Context, in contract.EvaluateInput) (string, error) {
	settings := j.run.Config.Evaluation
	settings.BatchSize = 0 // affects speed only
	parts := []any{in.Model, settings, j.run.Config.Float32(), j.run.Config.Model.LoadIn8bit, j.run.BaseDigest}
	files := []string{j.Samples(rundir.Test)}
	if in.Model == rundir.Retrained {
		files = append(files, adapterFiles(j.Layout)...)
	}
	for _, f := range files {
		sum, err := engine.FileDigest(ctx, f)
		if err != nil {
			return "", fail(contract.ErrEvaluation, fmt.Errorf("evaluate %s: %w", in.Model, err))
		}
		parts = append(parts, sum)
	}
	if !j.run.Config.Data.FourClass {
		parts = append(parts, "without labels")
	}
	if in.Fresh {
		parts = append(parts, activity.GetInfo(ctx).WorkflowExecution.RunID)
	}
	return rundir.Key(parts...)
}

// answers has the model answer the test samples that are not in the journal yet, and adds each batch to it.
func (j *job) answers(ctx context.Context, which string, answered rundir.Journal[evaluation.Batch], key string) (*evaluation.Evaluation, error) {
	earlier, err := answered.Open(key)
	if err != nil {
		return nil, err
	}
	before := 0
	for _, b := range earlier {
		before += len(b.Decisions)
	}
	if err := j.countStart(fmt.Sprintf("evaluation of %s at sample %d", which, before)); err != nil {
		return nil, err
	}
	progress := contract.Progress{Phase: contract.PhaseEvaluate, Detail: "loading the " + which + " model"}
	j.beat.tell(progress)
	ctx, cancel := j.untilStopped(ctx)
	defer cancel()
	tok, err := tokenizer.Load(j.run.BasePath)
	if err != nil {
		return nil, fail(contract.ErrModel, err)
	}
	test, err := dataset.Open(j.Samples(rundir.Test))
	if err != nil {
		return nil, fail(contract.ErrData, err)
	}
	defer test.Close()
	options := answeringOptions(j.run)
	if which == rundir.Base {
		options.LoRA.TargetModules, options.Gates.Enabled = nil, false
	}
	if err := j.holdDevice(ctx); err != nil {
		return nil, err
	}
	model, err := engine.Open(ctx, options)
	if err != nil {
		return nil, fail(contract.ErrModel, err)
	}
	defer model.Close()
	if which == rundir.Retrained {
		if err := peft.Load(ctx, model, adapterFolders(j.Layout)); err != nil {
			return nil, fail(contract.ErrModel, err)
		}
	}
	device, err := model.Info()
	if err != nil {
		return nil, err
	}
	gpu := j.watchGPU(device)
	progress.Detail = "the " + which + " model on the test part"
	started, message := time.Now(), "evaluating"
	c := j.run.Config.Evaluation
	eos, err := j.endsOfBase(which)
	if err != nil {
		return nil, err
	}
	return evaluation.Run(ctx, model, tok, test, evaluation.Options{
		Model: which, MaxNewTokens: c.MaxNewTokens, FallbackTokens: c.FallbackTokens, BatchSize: c.BatchSize, MaxSamples: c.MaxSamples,
		Plain: !j.run.Config.Data.FourClass, EOS: eos,
	}, evaluation.Session{
		Earlier:  earlier,
		Interval: time.Duration(j.run.Config.Checkpoint.IntervalSeconds) * time.Second,
		Save: func(b evaluation.Batch) error {
			if err := answered.Append(b); err != nil {
				return err
			}
			disk.Crash("evaluate.batch")
			return nil
		},
		Progress: func(done, total int) {
			j.log.Info(message, "model", which, "sample", done, "of", total)
			message = "evaluated batch"
			progress.Done, progress.Total, progress.GPU = done, total, gpuProgress(gpu.Newest())
			if done > before {
				progress.SecondsLeft = time.Since(started).Seconds() / float64(done-before) * float64(total-done)
			}
			j.beat.tell(progress)
		},
	})
}

// endsOfBase are the tokens that ended the base's answers, to which the retrained model is compared: an earlier version of
// this program, which may have evaluated the base, had others. For the base itself it is nil.
func (j *job) endsOfBase(which string) ([]int32, error) {
	if which == rundir.Base {
		return nil, nil
	}
	base, err := evaluation.Load(j.Evaluation(rundir.Base))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fail(contract.ErrEvaluation, err)
	}
	return base.Options.EOS, nil
}

// adapterFolders are where a run exports its adapters.
func adapterFolders(l rundir.Layout) peft.Folders {
	return peft.Folders{LoRA: l.Adapter(), OFT: l.AdapterOFT()}
}

// adapterFiles are the weights of the adapters that a run has exported.
func adapterFiles(l rundir.Layout) (files []string) {
	for _, f := range []string{l.AdapterWeights(), l.AdapterOFTWeights()} {
		if _, err := os.Stat(f); err == nil {
			files = append(files, f)
		}
	}
	return files
}
