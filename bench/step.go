package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"so8t/configs"
	"so8t/engine"
	"so8t/telemetry"
)

// stepCommand takes the LoRA step that peft_train.py takes.
type stepCommand struct {
	modelFlags
	Sequence  int     `default:"512" help:"Tokens of a sample, every one a target."`
	Samples   int     `default:"1" help:"Samples of an optimizer step."`
	Steps     int     `default:"8"`
	Lengths   []int   `help:"Tokens of the samples in turn, instead of --sequence, which none may exceed."`
	Row       int     `help:"The most tokens of a packed row; 0: one row holds a step's samples."`
	Seconds   float64 `help:"Begin no step after this time, once two have counted; 0: no limit."`
	Warm      int     `default:"2" help:"First steps that the median leaves out."`
	Rank      int     `default:"64" help:"Of LoRA, on each of the seven projections."`
	Float32   bool    `name:"float32" help:"Compute in float32."`
	Recompute bool    `help:"Gradient checkpointing."`
	Gates     bool    `help:"SO(8) gates too."`
	Int8      bool    `name:"int8" default:"true" negatable:"" help:"Hold the base's weights as int8 rows."`
	Expanded  string  `name:"keep-expanded" default:"auto" enum:"auto,true,false" help:"model.keep_expanded: ${enum}."`
	Optim     string  `default:"adamw_torch"`
	Text      bool    `help:"Tokens of Japanese text by the folder's own tokenizer, instead of random ones."`
}

// stepResult is what one process measured.
type stepResult struct {
	Base            string    `json:"base"`
	Device          string    `json:"device"`
	ISA             string    `json:"isa"`
	Threads         int       `json:"threads"`
	Sequence        int       `json:"sequence"`
	Recompute       bool      `json:"gradient_checkpointing"`
	Int8            bool      `json:"int8_base"`
	Gates           bool      `json:"gates"`
	Expanded        bool      `json:"keep_expanded"`
	Attention       string    `json:"attention"` // as SO8T_CUDA_ATTENTION asks
	Optim           string    `json:"optim"`
	TrainedNumbers  int64     `json:"trained_parameters"`
	LoadSeconds     float64   `json:"load_seconds"`
	StepSeconds     []float64 `json:"step_seconds"`
	TokensPerSecond float64   `json:"tokens_per_second"` // median step, warm-up left out
	StepTokens      []int     `json:"step_tokens"`
	LossFirst       float64   `json:"loss_first"`
	LossLast        float64   `json:"loss_last"`
	PeakRSSBytes    int64     `json:"peak_rss_bytes"`
	HeldPeakBytes   uint64    `json:"peak_device_bytes"` // the most that the library allocated

	Memory []telemetry.MemoryUse `json:"device_memory"`
}

func (c *stepCommand) Validate() error {
	if slices.ContainsFunc(c.Lengths, func(n int) bool { return n < 1 || n > c.Sequence }) {
		return errors.New("--lengths: each is at least 1 and at most --sequence")
	}
	return nil
}

func (c *stepCommand) training() training {
	row := c.Row
	if row == 0 {
		row = c.Sequence * c.Samples
	}
	return training{modelFlags: c.modelFlags, rank: c.Rank, length: c.Sequence, row: row, samples: c.Samples,
		optim: c.Optim, float32: c.Float32, int8: c.Int8, gates: c.Gates, recompute: c.Recompute,
		expanded: configs.Switch(c.Expanded)}
}

// Run prints a stepResult.
func (c *stepCommand) Run(ctx context.Context) error {
	run, start := c.training(), time.Now()
	m, err := run.open(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	r := stepResult{Base: c.Base, Sequence: c.Sequence, Recompute: c.Recompute, Int8: c.Int8, Gates: c.Gates, Expanded: m.Expanded(),
		Attention: cmp.Or(os.Getenv("SO8T_CUDA_ATTENTION"), "own"), Optim: c.Optim,
		TrainedNumbers: m.Adapter().Trained(), LoadSeconds: time.Since(start).Seconds()}
	samples, err := c.samples(m.Config().VocabSize)
	if err != nil {
		return err
	}
	trainer, err := run.trainer(m, samples)
	if err != nil {
		return err
	}
	if err := r.take(ctx, trainer, c.Steps, c.Warm, c.Seconds); err != nil {
		return err
	}
	if err := r.describe(m); err != nil {
		return err
	}
	return printJSON(r)
}

func (c *stepCommand) samples(vocab int) (engine.Samples, error) {
	lengths := c.Lengths
	if len(lengths) == 0 {
		lengths = []int{c.Sequence}
	}
	random := randomSamples{n: c.Steps * c.Samples, lengths: lengths, vocab: vocab}
	if c.Text {
		return textSamples(c.Base, random)
	}
	return random, nil
}

// take takes the steps and notes their speed.
func (r *stepResult) take(ctx context.Context, trainer *engine.Trainer, steps, warm int, seconds float64) error {
	begun := time.Now()
	for i := range steps {
		if seconds > 0 && i >= warm+2 && time.Since(begun).Seconds() > seconds {
			break
		}
		s, err := trainer.Step(ctx)
		if err != nil {
			return err
		}
		if i == 0 {
			r.LossFirst = s.Loss
		}
		r.LossLast = s.Loss
		r.StepSeconds, r.StepTokens = append(r.StepSeconds, s.Duration.Seconds()), append(r.StepTokens, s.Tokens)
	}
	var speeds []float64
	for i := min(warm, steps-1); i < len(r.StepSeconds); i++ {
		speeds = append(speeds, float64(r.StepTokens[i])/r.StepSeconds[i])
	}
	r.TokensPerSecond = median(speeds)
	return nil
}

// describe notes the device and the memory in use.
func (r *stepResult) describe(m *engine.Model) error {
	uses, err := m.Memory()
	if err != nil {
		return err
	}
	r.Memory = telemetry.MemoryUses(uses)
	info, err := m.Info()
	if err != nil {
		return err
	}
	r.Device, r.ISA, r.Threads, r.HeldPeakBytes = info.Name, info.ISA, info.Threads, info.PeakBytes
	_, r.PeakRSSBytes = telemetry.RSS()
	return nil
}
