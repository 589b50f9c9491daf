package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"so8t/contract"
	"so8t/dataset"
	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/telemetry"
)

// Train does one epoch, from the step that the newest checkpoint holds. Told to stop, it
// saves the exact step first; an epoch that is done already is done in no time.
func (a *Activities) Train(ctx context.Context, in contract.TrainInput) (contract.TrainResult, error) {
	j, held, err := a.begin(ctx, in.Run)
	if err != nil {
		return contract.TrainResult{}, err
	}
	defer j.end()
	e := &epoch{job: j, in: in}
	result, err := e.train(held, &a.training)
	var cancelled *temporal.CanceledError
	if stopped(err) && errors.As(context.Cause(ctx), &cancelled) {
		return result, nil // for a pause or a stop: the state is on disk, the workflow decides
	}
	return result, j.outcome(held, err)
}

// epoch is one training activity at work.
type epoch struct {
	*job
	in      contract.TrainInput
	store   *checkpoint.Store
	model   *engine.Model
	trainer *engine.Trainer
	val     *dataset.Samples
	report  *telemetry.Report
	gpu     *telemetry.GPU
	pace    telemetry.Pace

	news     contract.Progress
	lastSave time.Time // when the newest snapshot was taken
	behind   string    // checkpoint that is being written in the background
	orders   <-chan saveOrder
}

func (e *epoch) train(ctx context.Context, training *registry) (result contract.TrainResult, err error) {
	state, info, err := e.newest(ctx)
	if err != nil {
		return result, err
	}
	e.news = contract.Progress{Phase: contract.PhaseTrain, Epoch: e.in.Epoch, Epochs: e.run.Config.Training.NumTrainEpochs, Detail: "loading the base model"}
	e.saved(info)
	if state != nil && finished(state, e.in.Epoch) {
		e.log.Info("epoch is done already", "epoch", e.in.Epoch, "checkpoint", e.news.Checkpoint)
		return e.doneAlready(state)
	}
	at := 0
	if state != nil {
		at = state.Position.Step
	}
	if err := e.countStart(fmt.Sprintf("training at step %d", at)); err != nil {
		return result, err
	}
	e.beat.tell(e.news)
	closeAll, err := e.prepare(ctx, state)
	if err != nil {
		return result, err
	}
	defer closeAll()
	e.log.Info("training", "epoch", e.in.Epoch, "step", e.news.Step, "of", e.news.Steps)
	orders, leave := training.enter(e.run.WorkflowID)
	defer leave()
	e.orders = orders
	err = e.steps(ctx)
	if stopped(err) {
		err = errors.Join(err, e.leave(ctx))
	}
	e.news.At = time.Now().UTC()
	result = contract.TrainResult{Progress: e.news, EpochDone: err == nil, Checkpoint: e.news.Checkpoint}
	return result, err
}

// newest opens the checkpoints and reads the newest one that holds; nil if there is none.
func (e *epoch) newest(ctx context.Context) (state *checkpoint.State, info checkpoint.Info, err error) {
	e.store, err = checkpoint.OpenStore(e.path("checkpoints"), e.identity(), checkpoint.Options{
		MaxCheckpoints: e.run.Config.KeepCheckpoints(), Lease: e.lease, Logger: e.log})
	if err == nil {
		state, info, err = e.store.Latest(ctx)
	}
	var other *checkpoint.IdentityError
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		state, err = nil, nil
	case errors.As(err, &other):
		err = fail(contract.ErrOutputOther, fmt.Errorf("%w; choose another output_dir", err))
	}
	return state, info, err
}

func (e *epoch) identity() checkpoint.Identity {
	return checkpoint.Identity{WorkflowID: e.run.CheckpointID, Config: e.run.Config.TrainingDigest(), Base: e.run.BaseDigest, Dataset: e.in.DatasetDigest}
}

// prepare opens dataset and model and puts the trainer where state left it.
func (e *epoch) prepare(ctx context.Context, state *checkpoint.State) (_ func(), err error) {
	var open []func()
	closeAll := func() {
		for i := len(open) - 1; i >= 0; i-- {
			open[i]()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	train, err := dataset.Open(e.path("splits", "train.arrow"))
	if err != nil {
		return nil, fail(contract.ErrData, err)
	}
	open = append(open, func() { train.Close() })
	if e.val, err = dataset.Open(e.path("splits", "val.arrow")); err != nil {
		return nil, fail(contract.ErrData, err)
	}
	open = append(open, func() { e.val.Close() })
	if err = e.holdDevice(ctx); err != nil {
		return nil, err
	}
	started := time.Now()
	e.model, err = engine.Open(ctx, trainingOptions(e.run))
	if err != nil {
		return nil, fail(contract.ErrModel, err)
	}
	open = append(open, func() {
		_ = e.store.Wait() // a save behind reads from the model; whoever cares for its error asked before
		_ = e.model.Close()
	})
	if e.trainer, err = engine.NewTrainer(e.model, train, trainerOptions(e.run.Config)); err != nil {
		return nil, fail(contract.ErrModel, err)
	}
	if state != nil {
		if err = e.trainer.Restore(ctx, state); err != nil {
			return nil, fail(contract.ErrOutputOther, err)
		}
	}
	device, err := e.model.Info()
	if err != nil {
		return nil, err
	}
	e.gpu = e.watchGPU(device)
	e.news.Detail, e.news.Step, e.news.Steps = "training", e.trainer.Position().Step, e.trainer.TotalSteps()
	e.report = telemetry.OpenReport(e.path(reportName), e.trainer.Position().Step, e.run.Config.Training.LoggingSteps)
	e.log.Info("model ready", "step", e.news.Step, "of", e.news.Steps, "parameters", e.model.TrainedParameters(), "keeps", e.model.Keep(),
		"samples", train.Len(), "loaded_in", time.Since(started).Round(time.Millisecond).String())
	return closeAll, nil
}

// finished reports whether a checkpoint lies beyond the epoch, or at its end with its validation loss.
func finished(state *checkpoint.State, epoch int) bool {
	p := state.Position
	if p.Epoch != epoch || p.StepInEpoch > 0 {
		return p.Epoch >= epoch
	}
	curve, err := curveOf(state)
	n := len(curve.Eval)
	return err == nil && n > 0 && curve.Eval[n-1].Step == p.Step
}

// doneAlready is the result of an epoch whose end lies on disk.
func (e *epoch) doneAlready(state *checkpoint.State) (contract.TrainResult, error) {
	curve, err := curveOf(state)
	if err != nil {
		return contract.TrainResult{}, err
	}
	e.news.Detail, e.news.At = "training", time.Now().UTC()
	e.news.Step, e.news.Steps = state.Position.Step, state.Position.Step/state.Position.Epoch*e.news.Epochs
	if n := len(curve.Train); n > 0 {
		last := curve.Train[n-1]
		e.news.Loss, e.news.LearningRate, e.news.GradNorm = last.Loss, last.LearningRate, last.GradNorm
	}
	if n := len(curve.Eval); n > 0 {
		e.news.ValLoss = curve.Eval[n-1].Loss
	}
	return contract.TrainResult{Progress: e.news, EpochDone: true, Checkpoint: e.news.Checkpoint}, nil
}
