package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"so8t/contract"
	"so8t/dataset"
	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/rundir"
	"so8t/telemetry"
)

// Train runs one epoch, starting at the step of the newest checkpoint. When told to stop, it
// saves the current step first. An epoch that is done already returns at once.
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
		return result, nil // a pause or a stop: the state is on disk, and the workflow decides
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

	progress contract.Progress
	lastSave time.Time // when the newest snapshot was taken
	behind   string    // checkpoint that is being written in the background
	orders   <-chan saveOrder
}

func (e *epoch) train(ctx context.Context, training *registry) (result contract.TrainResult, err error) {
	state, info, err := e.newest(ctx)
	if err != nil {
		return result, err
	}
	e.progress = contract.Progress{Phase: contract.PhaseTrain, Detail: "loading the base model",
		Epoch: e.in.Epoch, Epochs: e.run.Config.Training.NumTrainEpochs}
	e.saved(info)
	e.progress.Notice = e.noticeOf(state, info)
	if state != nil && finished(state, e.in.Epoch) {
		e.log.Info("epoch is done already", "epoch", e.in.Epoch, "checkpoint", e.progress.Checkpoint)
		return e.doneAlready(state)
	}
	at := 0
	if state != nil {
		at = state.Position.Step
	}
	if err := e.countStart(fmt.Sprintf("training at step %d", at)); err != nil {
		return result, err
	}
	e.beat.tell(e.progress)
	closeAll, err := e.prepare(ctx, state)
	if err != nil {
		return result, err
	}
	defer closeAll()
	e.log.Info("training", "epoch", e.in.Epoch, "step", e.progress.Step, "of", e.progress.Steps)
	orders, leave := training.enter(e.run.WorkflowID)
	defer leave()
	e.orders = orders
	err = e.steps(ctx)
	if stopped(err) {
		err = errors.Join(err, e.leave(ctx))
	}
	e.progress.At = time.Now().UTC()
	result = contract.TrainResult{Progress: e.progress, EpochDone: err == nil, Checkpoint: e.progress.Checkpoint}
	return result, err
}

// newest opens the checkpoints and reads the newest valid one; nil if there is none.
func (e *epoch) newest(ctx context.Context) (state *checkpoint.State, info checkpoint.Info, err error) {
	if e.store, err = e.openStore(e.in.DatasetDigest); err != nil {
		return nil, info, err
	}
	state, info, err = e.store.Latest(ctx)
	if errors.Is(err, checkpoint.ErrNone) {
		return nil, info, nil
	}
	return state, info, otherRun(err)
}

func (j *job) openStore(datasetDigest string) (*checkpoint.Store, error) {
	return checkpoint.OpenStore(j.Checkpoints(), j.identity(datasetDigest), checkpoint.Options{
		MaxCheckpoints: j.run.Config.KeepCheckpoints(), Lease: j.Lease, Logger: j.log})
}

// otherRun is err, made a failure that names the remedy if it says that the checkpoints are another run's. The
// claim compares configurations, base models and datasets before: this is about checkpoints that were put there since.
func otherRun(err error) error {
	var other *checkpoint.IdentityError
	if errors.As(err, &other) {
		return fail(contract.ErrOutputOther, fmt.Errorf("%w; choose another output_dir", err))
	}
	return err
}

func (j *job) identity(datasetDigest string) checkpoint.Identity {
	return checkpoint.Identity{WorkflowID: j.run.CheckpointID, Base: j.run.BaseDigest, Dataset: datasetDigest,
		Config: cmp.Or(j.run.CheckpointConfig, j.run.Config.TrainingDigest())}
}

// prepare opens the dataset and the model, and restores the trainer from state.
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
	train, err := dataset.Open(e.Samples(rundir.Train))
	if err != nil {
		return nil, fail(contract.ErrData, err)
	}
	open = append(open, func() { train.Close() })
	if e.val, err = dataset.Open(e.Samples(rundir.Validation)); err != nil {
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
		_ = e.store.Wait() // a background save reads from the model; its error was checked before where it matters
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
	e.progress.Detail, e.progress.Step, e.progress.Steps = "training", e.trainer.Position().Step, e.trainer.TotalSteps()
	e.report = telemetry.OpenReport(e.PerformanceReport(), e.trainer.Position().Step, e.run.Config.Training.LoggingSteps)
	e.log.Info("model ready", "step", e.progress.Step, "of", e.progress.Steps, "parameters", e.model.Adapter().Trained(), "keeps", e.model.Saved(),
		"keeps_expanded", e.model.Expanded(), "samples", train.Len(), "loaded_in", time.Since(started).Round(time.Millisecond).String())
	return closeAll, nil
}

// finished reports whether a checkpoint is beyond the epoch, or at its end including the validation loss.
func finished(state *checkpoint.State, epoch int) bool {
	p := state.Position
	if p.Epoch != epoch || p.StepInEpoch > 0 {
		return p.Epoch >= epoch
	}
	curve, err := engine.CurveOf(state)
	n := len(curve.Eval)
	return err == nil && n > 0 && curve.Eval[n-1].Step == p.Step
}

// doneAlready is the result of an epoch whose last checkpoint is on disk.
func (e *epoch) doneAlready(state *checkpoint.State) (contract.TrainResult, error) {
	curve, err := engine.CurveOf(state)
	if err != nil {
		return contract.TrainResult{}, err
	}
	e.progress.Detail, e.progress.At = "training", time.Now().UTC()
	e.progress.Step, e.progress.Steps = state.Position.Step, state.Position.Step/state.Position.Epoch*e.progress.Epochs
	if n := len(curve.Train); n > 0 {
		last := curve.Train[n-1]
		e.progress.Loss, e.progress.LearningRate, e.progress.GradNorm = last.Loss, last.LearningRate, last.GradNorm
	}
	if n := len(curve.Eval); n > 0 {
		e.progress.ValLoss = curve.Eval[n-1].Loss
	}
	return contract.TrainResult{Progress: e.progress, EpochDone: true, Checkpoint: e.progress.Checkpoint}, nil
}
