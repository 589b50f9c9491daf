package activities

import (
	"so8t/configs"
	"so8t/contract"
	"so8t/device"
	"so8t/engine"
	"so8t/rundir"
)

// trainingOptions opens the base for training.
func trainingOptions(run contract.Run) engine.Options {
	c := run.Config
	o := modelOptions(run)
	o.Training = true
	o.GradientCheckpointing, o.Saved, o.Optim = c.Training.GradientCheckpointing, c.Training.GradientCheckpointingKeep, c.Training.Optim
	o.KeepExpanded = c.Model.KeepExpanded
	o.MaxLength = c.Data.MaxSeqLength
	o.MaxTokens = c.Data.MaxSeqLength * max(c.Training.PerDeviceTrainBatchSize, c.Training.PerDeviceEvalBatchSize)
	return o
}

// answeringOptions opens it for evaluation, with sequences of a prompt and an answer.
func answeringOptions(run contract.Run) engine.Options {
	c := run.Config
	o := modelOptions(run)
	o.MaxLength = c.Data.MaxSeqLength + c.Evaluation.MaxNewTokens
	o.MaxTokens = max(o.MaxLength, c.Data.MaxSeqLength*c.Training.PerDeviceEvalBatchSize)
	return o
}

func modelOptions(run contract.Run) engine.Options {
	c := run.Config
	algorithms := rundir.Layout(run.OutputDir).Algorithms()
	d := runDevice(run)
	if d.Kind == device.CPU { // which has no alternatives
		algorithms = ""
	}
	return engine.Options{
		Algorithms: algorithms,
		BasePath:   run.BasePath, Device: d, Threads: c.Threads,
		Float32: c.Float32(), Int8: c.Model.LoadIn8bit,
		LoRA: engine.LoRAOptions{R: c.Training.LoraR, Alpha: c.Training.LoraAlpha, Dropout: c.Training.LoraDropout,
			TargetModules: c.Training.LoraTargetModules},
		Gates: engine.GateOptions{Enabled: c.SO8T.Enabled, Layers: c.SO8T.Layers},
		Seed:  uint64(c.Training.Seed),
	}
}

func trainerOptions(c configs.Config) engine.TrainerOptions {
	t := c.Training
	return engine.TrainerOptions{
		SamplesPerStep: c.SamplesPerStep(), RowTokens: c.Data.MaxSeqLength * t.PerDeviceTrainBatchSize, Epochs: t.NumTrainEpochs,
		LearningRate: t.LearningRate, WeightDecay: t.WeightDecay,
		WarmupRatio: t.WarmupRatio, WarmupSteps: t.WarmupSteps, Scheduler: t.LRSchedulerType,
		MaxGradNorm: t.MaxGradNorm, Beta1: t.AdamBeta1, Beta2: t.AdamBeta2, Epsilon: t.AdamEpsilon,
		Optim: t.Optim, Seed: uint64(t.Seed),
	}
}
