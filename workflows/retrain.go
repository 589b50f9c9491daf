// Package workflows decides: what a run does next, what happens if something fails, and what people see of
// it. All work is done by activities, which it knows only by name.
package workflows

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// Retrain turns a base model and a dataset into an evaluated, exported model. People start it with one
// argument; only an earlier execution passes carried, a contract.Carried.
func Retrain(ctx workflow.Context, input, carried json.RawMessage) (*contract.Result, error) {
	r, err := begin(ctx, input, carried)
	if err != nil {
		return nil, r.end(ctx, err)
	}
	if err := r.retrain(ctx); workflow.IsContinueAsNewError(err) {
		return nil, err
	} else if err != nil {
		return nil, r.end(ctx, err)
	}
	return &r.result, r.end(ctx, nil)
}

func (r *run) retrain(ctx workflow.Context) error {
	if r.epoch == 0 {
		if err := r.claim(ctx, false); err != nil {
			return err
		}
		if err := r.split(ctx); err != nil {
			return err
		}
		r.epoch = 1
	}
	if err := r.train(ctx); err != nil {
		return err
	}
	if err := r.export(ctx); err != nil {
		return err
	}
	if err := r.evaluate(ctx, "base"); err != nil {
		return err
	}
	if err := r.evaluate(ctx, "retrained"); err != nil {
		return err
	}
	return r.compare(ctx)
}

func (r *run) claim(ctx workflow.Context, existing bool) error {
	err := r.do(ctx, step{
		activity: contract.Claim,
		phase:    contract.PhaseClaim,
		queue:    contract.TaskQueue,
		summary:  "check " + r.input.Config + " and its inputs",
		input:    func() any { return r.claimInput(ctx, existing) },
		result:   &r.claimed,
	})
	if err != nil {
		return err
	}
	r.result.OutputDir, r.result.Host = r.claimed.Run.OutputDir, r.claimed.Run.Host
	r.result.Notes = r.claimed.Notes
	return r.attributes(ctx, contract.AttrBaseModel, r.claimed.Run.BaseName)
}

func (r *run) split(ctx workflow.Context) error {
	err := r.do(ctx, step{
		activity: contract.Split,
		phase:    contract.PhaseSplit,
		queue:    contract.HostQueue(r.claimed.Run.Host),
		summary:  r.claimed.Run.Inputs(),
		input: func() any {
			run := r.startedRun()
			run.InputPaths = r.claimed.Run.InputPaths
			return run
		},
		result: &r.dataset,
	})
	if err != nil {
		return err
	}
	r.note(fmt.Sprintf("dataset: %d training, %d validation, %d test samples; left out: %d bad, %d too long, %d by the policy",
		r.dataset.Train, r.dataset.Val, r.dataset.Test, r.dataset.Bad, r.dataset.TooLong, r.dataset.Removed))
	r.result.Notes = append(slices.Clip(r.result.Notes), r.dataset.Notes...)
	r.claimed.Run.InputPaths = nil // thousands perhaps, and of no more use
	return r.attributes(ctx, contract.AttrDataset, r.dataset.DatasetDigest)
}

// train runs one activity per epoch. A paused epoch resumes at its exact step. If the history has become
// long, the run continues as new before the next activity starts.
func (r *run) train(ctx workflow.Context) error {
	epochs := r.claimed.Run.Config.Training.NumTrainEpochs
	for ; r.epoch <= epochs && !r.stopping; r.epoch++ {
		var trained contract.TrainResult
		err := r.do(ctx, step{
			activity: contract.Train,
			phase:    contract.PhaseTrain,
			queue:    r.deviceQueue(),
			summary:  fmt.Sprintf("epoch %d of %d", r.epoch, epochs),
			input: func() any {
				trained = contract.TrainResult{}
				return contract.TrainInput{Run: r.startedRun(), DatasetDigest: r.dataset.DatasetDigest, Epoch: r.epoch}
			},
			result: &trained,
			done:   func() bool { return trained.EpochDone },
		})
		if err != nil {
			return err
		}
		if trained.Progress.Step > 0 {
			r.result.Steps = trained.Progress.Step
			r.heard(trained.Progress)
		}
		if trained.EpochDone {
			r.note(fmt.Sprintf("epoch %d: loss %.4f, validation loss %.4f, checkpoint `%s`",
				r.epoch, trained.Progress.Loss, trained.Progress.ValLoss, trained.Checkpoint))
		}
	}
	r.result.Stopped = r.stopping
	if r.stopping {
		r.note(fmt.Sprintf("training stopped on request after step %d", r.progress.Step))
	}
	return nil
}

func (r *run) export(ctx workflow.Context) error {
	r.result.Export = &contract.ExportResult{}
	err := r.do(ctx, step{
		activity: contract.Export,
		phase:    contract.PhaseExport,
		queue:    r.deviceQueue(),
		summary:  "adapters and merged model",
		input:    func() any { return contract.ExportInput{Run: r.startedRun(), DatasetDigest: r.dataset.DatasetDigest} },
		result:   r.result.Export,
	})
	if err == nil {
		r.note("exported: " + r.result.Export.Summary)
	}
	return err
}

func (r *run) evaluate(ctx workflow.Context, model string) error {
	figures := &contract.EvaluateResult{}
	err := r.do(ctx, step{
		activity: contract.Evaluate,
		phase:    contract.PhaseEvaluate,
		queue:    r.deviceQueue(),
		summary:  "the " + model + " model on the test part",
		input:    func() any { return contract.EvaluateInput{Run: r.startedRun(), Model: model, Fresh: r.fresh} },
		result:   figures,
	})
	if err != nil {
		return err
	}
	if model == "base" {
		r.result.Base = figures
	} else {
		r.result.Retrained = figures
	}
	r.note(figures.String())
	return nil
}

func (r *run) compare(ctx workflow.Context) error {
	r.result.Compare = &contract.CompareResult{}
	err := r.do(ctx, step{
		activity: contract.Compare,
		phase:    contract.PhaseCompare,
		queue:    contract.HostQueue(r.claimed.Run.Host),
		summary:  "base against retrained",
		input:    func() any { return contract.CompareInput{Run: r.startedRun()} },
		result:   r.result.Compare,
	})
	if err != nil {
		return err
	}
	r.progress.Verdict = r.result.Compare.Verdict
	if removed := r.result.Compare.Removed; len(removed) > 0 {
		r.note("old nights removed: " + strings.Join(removed, ", "))
	}
	r.note(fmt.Sprintf("verdict: **%s** (McNemar p = %.3g)", r.result.Compare.Verdict, r.result.Compare.PValue))
	return r.attributes(ctx, contract.AttrVerdict, r.result.Compare.Verdict)
}
