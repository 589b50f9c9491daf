package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"so8t/dataset"
	"so8t/engine/checkpoint"
	"so8t/engine/phi3"
	"so8t/engine/safetensors"
	"so8t/native"
)

// TrainerOptions has the names of transformers' TrainingArguments.
type TrainerOptions struct {
	SamplesPerStep int // per_device_train_batch_size × gradient_accumulation_steps
	RowTokens      int // the most tokens of a packed row, on which the result's bits depend; 0: the model's MaxTokens
	Epochs         int
	LearningRate   float64
	WeightDecay    float64 // of LoRA; θ has none
	WarmupRatio    float64
	WarmupSteps    int    // used instead of the ratio if positive
	Scheduler      string // one of configs.Schedules
	MaxGradNorm    float64
	Beta1, Beta2   float64
	Epsilon        float64
	Optim          string // one of configs.Optimizers
	Seed           uint64
}

// Point is one optimizer step of the run's curve.
type Point struct {
	Step         int     `json:"step"` // from 1
	Epoch        float64 `json:"epoch"`
	Loss         float64 `json:"loss"`
	GradNorm     float64 `json:"grad_norm"` // before clipping
	LearningRate float64 `json:"learning_rate"`
}

// EvalPoint is one validation during the run.
type EvalPoint struct {
	Step int     `json:"step"`
	Loss float64 `json:"eval_loss"`
}

// Curve is a run's metrics so far. It is part of every checkpoint.
type Curve struct {
	Train []Point     `json:"train"` // thinned out in a long run: see Every
	Eval  []EvalPoint `json:"eval,omitempty"`
}

// StepResult is what one optimizer step did.
type StepResult struct {
	Position     checkpoint.Position // after the step
	Loss         float64             // mean over the step's targets
	GradNorm     float64             // before clipping
	LearningRate float64
	Tokens       int
	Targets      int
	Samples      int
	Rows         int // packed rows that the samples took
	Duration     time.Duration
}

// ErrDiverged says that the loss or its gradient is infinite or not a number.
var ErrDiverged = errors.New("training diverged")

// Samples is a data set, as dataset.Samples is.
type Samples interface {
	Len() int
	At(i int) dataset.Sample
}

// Trainer runs optimizer steps over a data set.
type Trainer struct {
	model     *Model
	options   TrainerOptions
	schedule  Schedule
	samples   Samples
	optimizer *optimizer
	position  checkpoint.Position
	order     []int // of the current epoch
	orderOf   int   // the epoch that order belongs to, −1 at first
	curve     Curve
}

// NewTrainer prepares training of m's adapters on samples, from the first step.
func NewTrainer(m *Model, samples Samples, o TrainerOptions) (*Trainer, error) {
	if o.RowTokens == 0 {
		o.RowTokens = m.options.MaxTokens
	}
	t := &Trainer{model: m, options: o, samples: samples, orderOf: -1}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	t.schedule = Schedule{Name: o.Scheduler, Base: o.LearningRate, WarmupSteps: o.WarmupSteps, TotalSteps: t.TotalSteps()}
	if o.WarmupSteps == 0 {
		t.schedule.WarmupSteps = int(math.Ceil(o.WarmupRatio * float64(t.TotalSteps())))
	}
	if _, err := t.schedule.Rate(0); err != nil {
		return nil, err
	}
	err := m.run(context.Background(), func() (err error) {
		t.optimizer, err = newOptimizer(m.device, m.params, o)
		return err
	})
	return t, err
}

func (t *Trainer) check() error {
	o := t.options
	switch {
	case !t.model.options.Training:
		return errors.New("the model was not opened for training")
	case t.model.params.N == 0:
		return errors.New("nothing to train: neither LoRA targets nor gates")
	case t.samples.Len() == 0:
		return errors.New("no training samples")
	case o.RowTokens > t.model.options.MaxTokens:
		return fmt.Errorf("rows of %d tokens, the model was opened for %d", o.RowTokens, t.model.options.MaxTokens)
	case o.SamplesPerStep < 1 || o.Epochs < 1:
		return fmt.Errorf("samples per step %d and epochs %d must be positive", o.SamplesPerStep, o.Epochs)
	}
	for i := range t.samples.Len() {
		if n := len(t.samples.At(i).InputIDs); n > min(t.model.options.MaxLength, o.RowTokens) {
			return fmt.Errorf("sample %d has %d tokens, more than %d", i, n, min(t.model.options.MaxLength, o.RowTokens))
		}
	}
	return nil
}

// StepsPerEpoch counts the optimizer steps over that many samples; the last one of an epoch may have fewer.
func (o TrainerOptions) StepsPerEpoch(samples int) int {
	return (samples + o.SamplesPerStep - 1) / o.SamplesPerStep
}

// TotalSteps is the number of optimizer steps of a whole run over that many samples.
func (o TrainerOptions) TotalSteps(samples int) int { return o.StepsPerEpoch(samples) * o.Epochs }

// StepsPerEpoch counts the optimizer steps of an epoch.
func (t *Trainer) StepsPerEpoch() int { return t.options.StepsPerEpoch(t.samples.Len()) }

// TotalSteps is the number of optimizer steps of the whole run.
func (t *Trainer) TotalSteps() int { return t.options.TotalSteps(t.samples.Len()) }

// Position is how far the run has come.
func (t *Trainer) Position() checkpoint.Position { return t.position }

// Done reports whether every step was taken.
func (t *Trainer) Done() bool { return t.position.Step >= t.TotalSteps() }

// Curve is the metrics so far.
func (t *Trainer) Curve() Curve { return t.curve }

// AddEval records a validation loss at the current step.
func (t *Trainer) AddEval(loss float64) {
	t.curve.Eval = append(t.curve.Eval, EvalPoint{t.position.Step, loss})
}

// Step takes one optimizer step.
func (t *Trainer) Step(ctx context.Context) (StepResult, error) {
	if t.Done() {
		return StepResult{}, fmt.Errorf("step %d: the run has only %d", t.position.Step+1, t.TotalSteps())
	}
	var r StepResult
	err := t.model.run(ctx, func() (err error) {
		r, err = t.step(ctx)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("optimizer step %d: %w", t.position.Step+1, err)
	}
	return r, nil
}

// step takes one optimizer step. If ctx ends between two rows the run stays where it was.
func (t *Trainer) step(ctx context.Context) (StepResult, error) {
	start := time.Now()
	m, next := t.model, t.position.Step+1
	sequences := t.stepSamples()
	r := StepResult{Samples: len(sequences)}
	lengths := make([]int, len(sequences))
	for i, s := range sequences {
		lengths[i] = len(s.IDs)
		r.Tokens += len(s.IDs)
		for _, l := range s.Labels[1:] {
			if l >= 0 {
				r.Targets++
			}
		}
	}
	m.params.zeroGradients(m.device)
	sum := 0.0
	dropout := phi3.Dropout{P: m.options.LoRA.Dropout, Seed: t.options.Seed, Step: uint64(next)}
	for _, row := range dataset.Pack(lengths, t.options.RowTokens) {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		packed := make([]phi3.Sequence, len(row))
		for i, j := range row {
			packed[i] = sequences[j]
		}
		losses, err := m.phi.Train(packed, r.Targets, dropout)
		if err != nil {
			return r, err
		}
		for _, l := range losses {
			sum += float64(l)
		}
		r.Rows++
	}
	if err := m.phi.FinishGradients(); err != nil {
		return r, err
	}
	if r.Targets > 0 {
		r.Loss = sum / float64(r.Targets)
	}
	var err error
	if r.LearningRate, err = t.schedule.Rate(t.position.Step); err != nil {
		return r, err
	}
	if math.IsNaN(r.Loss) || math.IsInf(r.Loss, 0) {
		return r, fmt.Errorf("%w: loss %v", ErrDiverged, r.Loss)
	}
	if r.GradNorm, err = t.optimizer.step(next, r.LearningRate); err != nil {
		return r, err
	}
	if math.IsNaN(r.GradNorm) || math.IsInf(r.GradNorm, 0) {
		return r, fmt.Errorf("%w: gradient norm %v", ErrDiverged, r.GradNorm)
	}
	if err := m.params.derive(m.phi); err != nil {
		return r, err
	}
	t.advance()
	r.Position, r.Duration = t.position, time.Since(start)
	t.curve.add(Point{Step: next, Epoch: float64(next) / float64(t.StepsPerEpoch()), Loss: r.Loss, GradNorm: r.GradNorm, LearningRate: r.LearningRate})
	return r, nil
}

// stepSamples are the samples of the step at the current position.
func (t *Trainer) stepSamples() []phi3.Sequence {
	if t.orderOf != t.position.Epoch {
		t.order, t.orderOf = epochOrder(t.options.Seed, t.position.Epoch, t.samples.Len()), t.position.Epoch
	}
	first := t.position.StepInEpoch * t.options.SamplesPerStep
	indices := t.order[first:min(first+t.options.SamplesPerStep, len(t.order))]
	sequences := make([]phi3.Sequence, len(indices))
	for i, j := range indices {
		s := t.samples.At(j)
		sequences[i] = phi3.Sequence{IDs: s.InputIDs, Labels: s.Labels, Sample: int32(i)}
	}
	return sequences
}

// advance counts one step. Epoch and StepInEpoch count finished ones: after an epoch's last step the position is the
// beginning of the next epoch.
func (t *Trainer) advance() {
	t.position.Step++
	t.position.StepInEpoch++
	if t.position.StepInEpoch == t.StepsPerEpoch() {
		t.position.Epoch++
		t.position.StepInEpoch = 0
	}
}

// Snapshot copies the run's state on the device, for a checkpoint; the caller adds the identity. Training may continue at
// once. The copy is read when the checkpoint is written, and freed by the state's Release.
func (t *Trainer) Snapshot(ctx context.Context) (*checkpoint.State, error) {
	m := t.model
	s := &checkpoint.State{Position: t.position}
	var copies []*native.Snapshot
	s.Release = func() { m.copies.release(copies) }
	err := m.run(ctx, func() error {
		for _, x := range t.optimizer.tensors() {
			c, err := m.device.Snapshot(x.tensor, int64(x.bytes()))
			if err != nil {
				return err
			}
			copies = append(copies, c)
			s.Tensors = append(s.Tensors, safetensors.Named{Name: x.name, Tensor: safetensors.Tensor{DType: x.dtype(), Shape: []int64{int64(x.n)}},
				From: &reader{&m.copies, c}})
		}
		return nil
	})
	if err == nil {
		s.Metrics, err = json.Marshal(t.curve)
	}
	if err != nil {
		s.Release()
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return s, nil
}

// Restore continues from a checkpoint's state.
func (t *Trainer) Restore(ctx context.Context, s *checkpoint.State) error {
	p, per := s.Position, t.StepsPerEpoch()
	if p.Step < 0 || p.Step > t.TotalSteps() || p.Epoch != p.Step/per || p.StepInEpoch != p.Step%per {
		return fmt.Errorf("restore: position %+v does not fit a run of %d epochs of %d steps", p, t.options.Epochs, per)
	}
	byName := map[string]safetensors.Named{}
	for _, x := range s.Tensors {
		byName[x.Name] = x
	}
	curve, err := CurveOf(s)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	err = t.model.run(ctx, func() error {
		for _, x := range t.optimizer.tensors() {
			from, ok := byName[x.name]
			data, err := from.Load()
			if err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			if !ok || from.DType != x.dtype() || len(data) != x.bytes() {
				return fmt.Errorf("restore: tensor %q is missing or not %s [%d]", x.name, x.dtype(), x.n)
			}
			if err := native.Upload(t.model.device, x.tensor, data); err != nil {
				return err
			}
		}
		return t.model.params.derive(t.model.phi)
	})
	if err != nil {
		return err
	}
	t.position, t.curve = p, curve
	return nil
}
