package activities

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"so8t/contract"
	"so8t/engine"
	"so8t/engine/checkpoint"
)

// stepGrace is how long the current step may take once the worker was told to stop. The rest of
// the worker's stop timeout is for the checkpoint.
const stepGrace = 15 * time.Second

// steps trains to the end of the epoch. When told to stop it returns context.Canceled.
func (e *epoch) steps(ctx context.Context) error {
	work, cancel := e.withGrace(ctx)
	defer cancel()
	e.lastSave = time.Now()
	for e.trainer.Position().Epoch < e.in.Epoch {
		if err := e.told(ctx); err != nil {
			return err
		}
		step, err := e.trainer.Step(work)
		if errors.Is(err, engine.ErrDiverged) {
			return fail(contract.ErrDiverged, fmt.Errorf("%w; lower training.learning_rate", err))
		}
		if err != nil {
			return err
		}
		if err := e.written(); err != nil {
			return err
		}
		e.pace.Add(step.Tokens, step.Samples, step.Duration)
		e.tell(step)
		if err := e.afterStep(ctx, step); err != nil {
			return err
		}
	}
	if err := e.validate(ctx); err != nil {
		return err
	}
	if err := e.store.Wait(); err != nil {
		return err
	}
	return e.save(ctx, "epoch")
}

// written notes that the background save has finished, or failed.
func (e *epoch) written() error {
	if e.behind == "" || e.store.Busy() {
		return nil
	}
	if err := e.store.Wait(); err != nil {
		return err
	}
	e.pace.Save = time.Since(e.lastSave)
	e.progress.Checkpoint, e.progress.CheckpointDigest, e.progress.CheckpointAt = e.behind, "", time.Now().UTC()
	e.behind = ""
	e.beat.tell(e.progress)
	e.log.Info("checkpoint", "dir", e.progress.Checkpoint, "reason", "interval")
	return nil
}

// told returns context.Canceled if it is time to stop, and saves a checkpoint if one was ordered.
func (e *epoch) told(ctx context.Context) error {
	if ctx.Err() != nil || e.workerStops() {
		return context.Canceled
	}
	select {
	case order := <-e.orders:
		err := e.save(ctx, "request")
		order.done <- saved{err: err, result: contract.SaveNowResult{Checkpoint: e.progress.Checkpoint, Epoch: e.progress.Epoch, Step: e.progress.Step}}
		return err
	default:
		return nil
	}
}

func (e *epoch) afterStep(ctx context.Context, step engine.StepResult) error {
	t, n := e.run.Config.Training, step.Position.Step
	if n%t.LoggingSteps == 0 || n == 1 {
		e.log.Info("step", "epoch", e.in.Epoch, "step", n, "of", e.progress.Steps, "loss", round(step.Loss), "lr", step.LearningRate,
			"grad_norm", round(step.GradNorm), "tokens_per_second", math.Round(e.pace.TokensPerSecond()))
		if err := e.report.Add(e.model, e.gpu, &e.pace, n); err != nil {
			return err
		}
	}
	epochEnds := step.Position.Epoch >= e.in.Epoch
	validates := epochEnds || t.EvalSteps > 0 && n%t.EvalSteps == 0
	next := e.pace.NextStep()
	if validates {
		next += e.pace.Validation
	}
	bySteps := t.SaveSteps > 0 && n%t.SaveSteps == 0 && !epochEnds
	if (bySteps || e.due(next)) && !e.store.Busy() {
		if err := e.saveBehind(ctx); err != nil {
			return err
		}
	}
	if validates && !epochEnds {
		return e.validate(ctx)
	}
	return nil
}

// due reports whether a save must start now to be on disk when the interval ends, since after the
// next piece of work it would be too late: checkpoint.interval_seconds bounds how much work a crash
// may lose.
func (e *epoch) due(next time.Duration) bool {
	interval := time.Duration(e.run.Config.Checkpoint.IntervalSeconds) * time.Second
	saving := max(2*e.pace.Save, interval/20) // the speed of disks varies
	return time.Since(e.lastSave)+next+saving >= interval && time.Since(e.lastSave) >= interval/4
}

// validate measures the loss on the validation part.
func (e *epoch) validate(ctx context.Context) error {
	if e.val.Len() == 0 {
		return nil
	}
	began := time.Now()
	sum, targets := 0.0, 0
	batch := e.run.Config.Training.PerDeviceEvalBatchSize
	for first := 0; first < e.val.Len(); first += batch {
		if ctx.Err() != nil || e.workerStops() {
			return context.Canceled
		}
		var ids, labels [][]int32
		for i := first; i < min(first+batch, e.val.Len()); i++ {
			s := e.val.At(i)
			ids, labels = append(ids, s.InputIDs), append(labels, s.Labels)
		}
		loss, n, err := e.model.Loss(ctx, ids, labels)
		if err != nil {
			return fmt.Errorf("validation: %w", err)
		}
		sum, targets = sum+loss, targets+n
	}
	if targets == 0 {
		return nil
	}
	e.pace.Validation = time.Since(began)
	mean := sum / float64(targets)
	if math.IsNaN(mean) || math.IsInf(mean, 0) {
		return fail(contract.ErrDiverged, fmt.Errorf("validation after step %d: loss %v; lower training.learning_rate", e.progress.Step, mean))
	}
	e.progress.ValLoss = mean
	e.trainer.AddEval(e.progress.ValLoss)
	e.beat.tell(e.progress)
	e.log.Info("validation", "step", e.progress.Step, "loss", round(e.progress.ValLoss))
	return nil
}

// save writes a checkpoint now, and waits for it.
func (e *epoch) save(ctx context.Context, reason string) error {
	ctx = context.WithoutCancel(ctx) // it must succeed when the activity is cancelled
	state, err := e.trainer.Snapshot(ctx)
	if err != nil {
		return err
	}
	info, err := e.store.Save(ctx, state, reason)
	if err != nil {
		return err
	}
	e.lastSave = time.Now()
	e.saved(info)
	e.beat.tell(e.progress)
	e.log.Info("checkpoint", "dir", info.Dir, "reason", reason, "bytes", info.Bytes)
	return e.Lease.During(e.report.Write)
}

// saveBehind copies the state and has it written in the background while training continues.
func (e *epoch) saveBehind(ctx context.Context) error {
	state, err := e.trainer.Snapshot(ctx)
	if err != nil {
		return err
	}
	if err := e.store.SaveBehind(state, "interval"); err != nil {
		return err
	}
	e.lastSave, e.behind = time.Now(), state.Position.Folder()
	return e.Lease.During(e.report.Write)
}

// leave saves the current step before the activity ends early.
func (e *epoch) leave(ctx context.Context) error {
	e.forgetStarts()
	_ = e.store.Wait() // the save below is newer, and reports its own error
	reason := "pause"
	if e.workerStops() {
		reason = "shutdown"
	}
	if e.trainer.Position().Step == 0 {
		return nil
	}
	return e.save(ctx, reason)
}

// saved notes the newest checkpoint.
func (e *epoch) saved(info checkpoint.Info) {
	if info.Dir != "" {
		e.progress.Checkpoint, e.progress.CheckpointDigest, e.progress.CheckpointAt = filepath.Base(info.Dir), info.Digest, info.SavedAt
	}
}

func (e *epoch) tell(step engine.StepResult) {
	e.progress.Step, e.progress.Loss, e.progress.LearningRate, e.progress.GradNorm = step.Position.Step, step.Loss, step.LearningRate, step.GradNorm
	e.progress.TokensPerSec = e.pace.TokensPerSecond()
	e.progress.SecondsLeft = e.pace.SecondsPerStep() * float64(e.progress.Steps-e.progress.Step)
	e.progress.GPU = gpuProgress(e.gpu.Newest())
	e.beat.tell(e.progress)
}

// withGrace ends with ctx, or stepGrace after the worker was told to stop.
func (e *epoch) withGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-e.stops:
		}
		select {
		case <-ctx.Done():
		case <-time.After(stepGrace):
			cancel()
		}
	}()
	return ctx, cancel
}

func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }
