package main

import (
	"context"

	"so8t/configs"
	"so8t/device"
	"so8t/engine"
)

// modelFlags say which model a command loads, and where.
type modelFlags struct {
	Base       string        `required:"" help:"Model folder."`
	Device     device.Device `default:"cpu" help:"cpu, cuda, cuda:N or auto."`
	Threads    int           `help:"0: all."`
	Algorithms string        `help:"File of cuBLASLt's algorithms, read and added to."`
}

// training is the LoRA run that the commands measure: adapters on all seven projections with alpha 2r and dropout 0.05.
type training struct {
	modelFlags
	rank    int
	length  int // the longest sample, in tokens
	row     int // tokens of a packed row
	samples int // of an optimizer step
	optim   string

	float32, int8, gates, recompute bool
	expanded                        configs.Switch // model.keep_expanded
}

func (t training) options() engine.Options {
	return engine.Options{
		BasePath: t.Base, Device: t.Device, Threads: t.Threads, Algorithms: t.Algorithms, Float32: t.float32, Int8: t.int8, Training: true,
		GradientCheckpointing: t.recompute, Saved: "inputs", KeepExpanded: t.expanded, Optim: t.optim, MaxTokens: t.row, MaxLength: t.length, Seed: 42,
		LoRA:  engine.LoRAOptions{R: t.rank, Alpha: 2 * float64(t.rank), Dropout: 0.05, TargetModules: configs.Projections},
		Gates: engine.GateOptions{Enabled: t.gates},
	}
}

func (t training) open(ctx context.Context) (*engine.Model, error) {
	return engine.Open(ctx, t.options())
}

func (t training) trainer(m *engine.Model, samples engine.Samples) (*engine.Trainer, error) {
	return engine.NewTrainer(m, samples, engine.TrainerOptions{
		SamplesPerStep: t.samples, Epochs: 1, LearningRate: 2e-4, WeightDecay: 0.01, Scheduler: "cosine", MaxGradNorm: 1,
		Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Optim: t.optim, Seed: 42})
}
