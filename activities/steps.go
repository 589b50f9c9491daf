package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"so8t/contract"
	"so8t/engine"
	"so8t/engine/checkpoint"
)

// graceOfAStep is how long a step may still take after the worker was told to stop; what
// is left of the worker's own time is for the checkpoint.
const graceOfAStep = 15 * time.Second

// steps trains to the end of the epoch. It returns a cancellation when told to stop.
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

// written takes note of a checkpoint that was being written behind, or of its failure.
func (e *epoch) written() error {
	if e.behind == "" || e.store.Busy() {
		return nil
	}
	if err := e.store.Wait(); err != nil {
		return err
	}
	e.pace.Save = time.Since(e.lastSave)
	e.news.Checkpoint, e.news.CheckpointDigest, e.news.CheckpointAt = e.behind, "", time.Now().UTC()
	e.behind = ""
	e.beat.tell(e.news)
	e.log.Info("checkpoint", "dir", e.news.Checkpoint, "reason", "interval")
	return nil
}

// told reports whether it is time to leave, and fulfils an order for a checkpoint.
func (e *epoch) told(ctx context.Context) error {
	if ctx.Err() != nil || e.workerStops() {
		return context.Canceled
	}
	select {
	case order := <-e.orders:
		err := e.save(ctx, "request")
		order.done <- saved{err: err, result: contract.SaveNowResult{Checkpoint: e.news.Checkpoint, Epoch: e.news.Epoch, Step: e.news.Step}}
		return err
	default:
		return nil
	}
}

func (e *epoch) afterStep(ctx context.Context, step engine.StepResult) error {
	t, n := e.run.Config.Training, step.Position.Step
	if n%t.LoggingSteps == 0 || n == 1 {
		e.log.Info("step", "epoch", e.in.Epoch, "step", n, "of", e.news.Steps, "loss", round(step.Loss), "lr", step.LearningRate,
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

// due reports whether a checkpoint has to begin now, so that it is on disk when the interval
// is over: after the next piece of work it would be too late. checkpoint.interval_seconds
// is what a crash may cost, not a time between two beginnings.
func (e *epoch) due(next time.Duration) bool {
	interval := time.Duration(e.run.Config.Checkpoint.IntervalSeconds) * time.Second
	saving := max(2*e.pace.Save, interval/20) // disks have moods
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
		return fail(contract.ErrDiverged, fmt.Errorf("validation after step %d: loss %v; lower training.learning_rate", e.news.Step, mean))
	}
	e.news.ValLoss = mean
	e.trainer.AddEval(e.news.ValLoss)
	e.beat.tell(e.news)
	e.log.Info("validation", "step", e.news.Step, "loss", round(e.news.ValLoss))
	return nil
}

// save writes a checkpoint now, and waits for it.
func (e *epoch) save(ctx context.Context, reason string) error {
	ctx = context.WithoutCancel(ctx) // leaving is what it is for
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
	e.beat.tell(e.news)
	e.log.Info("checkpoint", "dir", info.Dir, "reason", reason, "bytes", info.Bytes)
	return e.lease.During(e.report.Write)
}

// saveBehind copies the state and lets a writer finish it while training goes on.
func (e *epoch) saveBehind(ctx context.Context) error {
	state, err := e.trainer.Snapshot(ctx)
	if err != nil {
		return err
	}
	if err := e.store.SaveBehind(state, "interval"); err != nil {
		return err
	}
	e.lastSave, e.behind = time.Now(), state.Position.Folder()
	return e.lease.During(e.report.Write)
}

// leave saves the exact step before the process or the machine is given up.
func (e *epoch) leave(ctx context.Context) error {
	e.forgetStarts()
	_ = e.store.Wait() // the save below holds more, and has an error of its own
	reason := "pause"
	if e.workerStops() {
		reason = "shutdown"
	}
	if e.trainer.Position().Step == 0 {
		return nil
	}
	return e.save(ctx, reason)
}

// saved notes where the newest checkpoint is.
func (e *epoch) saved(info checkpoint.Info) {
	if info.Dir != "" {
		e.news.Checkpoint, e.news.CheckpointDigest, e.news.CheckpointAt = filepath.Base(info.Dir), info.Digest, info.SavedAt
	}
}

func (e *epoch) tell(step engine.StepResult) {
	e.news.Step, e.news.Loss, e.news.LearningRate, e.news.GradNorm = step.Position.Step, step.Loss, step.LearningRate, step.GradNorm
	e.news.TokensPerSec = e.pace.TokensPerSecond()
	e.news.SecondsLeft = e.pace.SecondsPerStep() * float64(e.news.Steps-e.news.Step)
	e.news.GPU = gpuProgress(e.gpu.Newest())
	e.beat.tell(e.news)
}

// withGrace ends some time after the worker was told to stop, and with ctx.
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
		case <-time.After(graceOfAStep):
			cancel()
		}
	}()
	return ctx, cancel
}

func curveOf(state *checkpoint.State) (c engine.Curve, err error) {
	if err := json.Unmarshal(state.Metrics, &c); err != nil {
		return c, fmt.Errorf("checkpoint metrics: %w", err)
	}
	return c, nil
}

func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }
