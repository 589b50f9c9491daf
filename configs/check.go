package configs

import (
	"fmt"
	"slices"
	"strings"

	"so8t/device"
)

// Optimizers maps the names of TrainingArguments' optim to whether the AdamW states are
// held in 8 bits. bitsandbytes pages the states of paged_* to the host; here they stay on the device.
var Optimizers = map[string]bool{
	"adamw_torch": false, "adamw_torch_fused": false,
	"paged_adamw_32bit": false, "paged_adamw": false,
	"adamw_8bit": true, "adamw_bnb_8bit": true, "paged_adamw_8bit": true,
}

// Schedules are the values of lr_scheduler_type.
var Schedules = []string{"cosine", "linear", "constant", "constant_with_warmup"}

// SavedActivations are the values of gradient_checkpointing_keep: what is saved for the backward pass.
var SavedActivations = []string{"auto", "all", "attention", "inputs"}

// Projections are the seven logical projections that carry LoRA.
var Projections = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// checker collects the values that are out of range.
type checker struct{ *decoder }

// check refuses values out of range, with the line of the key, or the file for a default.
func (d *decoder) check(c *Config) {
	k := checker{d}
	k.text("output_dir", c.OutputDir)
	on, err := device.Parse(c.Device)
	k.need(err == nil && on.Kind != device.Emulated, "device", "must be auto, cpu, cuda or cuda:N, is %q", c.Device)
	k.atLeast("threads", c.Threads, 0)
	k.data(&c.Data)
	for _, fault := range c.Policy.Check() {
		k.need(false, fault.Key, "%s", fault.Text)
	}
	k.model(c)
	k.training(&c.Training)
	k.adapters(&c.Training, &c.SO8T)
	k.atLeast("checkpoint.interval_seconds", c.Checkpoint.IntervalSeconds, 1)
	k.atLeast("checkpoint.max_checkpoints", c.Checkpoint.MaxCheckpoints, 1)
	k.atLeast("checkpoint.heartbeat_timeout_seconds", c.Checkpoint.HeartbeatTimeoutSeconds, 2)
	k.verdict(c)
	k.atLeast("nightly.keep", c.Nightly.Keep, 0)
}

func (k checker) model(c *Config) {
	const expanded = "model.keep_expanded"
	k.text("model.base_model_path", c.Model.BaseModelPath)
	k.oneOf(expanded, string(c.Model.KeepExpanded), switches)
	keep := c.Model.KeepExpanded == On
	k.need(!keep || c.Model.LoadIn8bit, expanded, "true is about int8 weights, but model.load_in_8bit is false")
	k.need(!keep || c.Training.LoraR%8 == 0, expanded, "true needs a training.lora_r that 8 divides, not %d", c.Training.LoraR)
}

func (k checker) training(t *Training) {
	k.atLeast("training.num_train_epochs", t.NumTrainEpochs, 1)
	k.atLeast("training.per_device_train_batch_size", t.PerDeviceTrainBatchSize, 1)
	k.atLeast("training.per_device_eval_batch_size", t.PerDeviceEvalBatchSize, 1)
	k.atLeast("training.gradient_accumulation_steps", t.GradientAccumulationSteps, 1)
	k.above("training.learning_rate", t.LearningRate, 0)
	k.within("training.weight_decay", t.WeightDecay, 0, 1)
	k.within("training.warmup_ratio", t.WarmupRatio, 0, 1)
	k.atLeast("training.warmup_steps", t.WarmupSteps, 0)
	k.oneOf("training.lr_scheduler_type", t.LRSchedulerType, Schedules)
	k.above("training.max_grad_norm", t.MaxGradNorm, 0)
	k.below1("training.adam_beta1", t.AdamBeta1)
	k.below1("training.adam_beta2", t.AdamBeta2)
	k.above("training.adam_epsilon", t.AdamEpsilon, 0)
	k.oneOf("training.optim", t.Optim, sortedKeys(Optimizers))
	k.atLeast("training.seed", t.Seed, 0)
	k.atLeast("training.logging_steps", t.LoggingSteps, 1)
	k.atLeast("training.save_steps", t.SaveSteps, 0)
	k.atLeast("training.save_total_limit", t.SaveTotalLimit, 1)
	k.atLeast("training.eval_steps", t.EvalSteps, 0)
	k.need(!(t.FP16 && t.BF16), "training.bf16", "fp16 and bf16 cannot both be true")
	k.oneOf("training.gradient_checkpointing_keep", t.GradientCheckpointingKeep, SavedActivations)
}

// adapters checks the keys of LoRA, which stand in training, and those of the gates.
func (k checker) adapters(t *Training, gates *SO8T) {
	k.atLeast("training.lora_r", t.LoraR, 1)
	k.above("training.lora_alpha", t.LoraAlpha, 0)
	k.below1("training.lora_dropout", t.LoraDropout)
	k.need(len(t.LoraTargetModules) > 0, "training.lora_target_modules", "names no projection")
	for i, m := range t.LoraTargetModules {
		key := fmt.Sprintf("training.lora_target_modules[%d]", i)
		k.oneOf(key, m, Projections)
		k.need(slices.Index(t.LoraTargetModules, m) == i, key, "%s stands twice", m)
	}
	for i, l := range gates.Layers {
		key := fmt.Sprintf("so8t.layers[%d]", i)
		k.atLeast(key, l, 0)
		k.need(slices.Index(gates.Layers, l) == i, key, "layer %d stands twice", l)
	}
	none := gates.Enabled && gates.Layers != nil && len(gates.Layers) == 0
	k.need(!none, "so8t.layers", "names no layer; write so8t.enabled: false for a run without gates")
}

// verdict checks the keys that decide figures and verdict, but not the weights.
func (k checker) verdict(c *Config) {
	k.atLeast("evaluation.max_new_tokens", c.Evaluation.MaxNewTokens, 1)
	k.atLeast("evaluation.fallback_tokens", c.Evaluation.FallbackTokens, 1)
	k.atLeast("evaluation.max_samples", c.Evaluation.MaxSamples, 0)
	k.atLeast("evaluation.batch_size", c.Evaluation.BatchSize, 1)
	k.atLeast("ab_test.bootstrap_samples", c.ABTest.BootstrapSamples, 100)
	k.between0And1("ab_test.alpha", c.ABTest.Alpha)
	k.atLeast("ab_test.seed", c.ABTest.Seed, 0)
	k.between0And1("promotion.alpha", c.Promotion.Alpha)
	k.within("promotion.min_accuracy_gain", c.Promotion.MinAccuracyGain, 0, 1)
	k.within("promotion.max_false_allow_increase", c.Promotion.MaxFalseAllowIncrease, 0, 1)
	k.share("promotion.min_well_formed_rate", c.Promotion.MinWellFormedRate)
	k.share("promotion.max_over_refusal_rate", c.Promotion.MaxOverRefusalRate)
	k.within("promotion.min_loss_reduction", c.Promotion.MinLossReduction, 0, 100)
}

func (k checker) need(ok bool, key, format string, args ...any) {
	if ok {
		return
	}
	where, set := k.lines[key]
	if !set {
		where = k.file
	}
	k.faults = append(k.faults, &Error{Where: where, Key: key, Text: fmt.Sprintf(format, args...)})
}

func (k checker) text(key, v string) { k.need(strings.TrimSpace(v) != "", key, "is required") }

func (k checker) oneOf(key, v string, names []string) {
	k.need(slices.Contains(names, v), key, "must be one of %s, is %q", strings.Join(names, ", "), v)
}

func (k checker) atLeast(key string, v, least int) {
	k.need(v >= least, key, "must be at least %d, is %d", least, v)
}

func (k checker) within(key string, v, lo, hi float64) {
	k.need(v >= lo && v <= hi, key, "must lie in [%g, %g], is %g", lo, hi, v)
}

func (k checker) above(key string, v, lo float64) {
	k.need(v > lo, key, "must be above %g, is %g", lo, v)
}

func (k checker) below1(key string, v float64) {
	k.need(v >= 0 && v < 1, key, "must lie in [0, 1), is %g", v)
}

func (k checker) between0And1(key string, v float64) {
	k.need(v > 0 && v < 1, key, "must lie between 0 and 1, is %g", v)
}

func (k checker) share(key string, v float64) {
	k.need(v > 0 && v <= 1, key, "must lie in (0, 1], is %g", v)
}
