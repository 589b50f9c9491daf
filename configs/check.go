package configs

import (
	"fmt"
	"slices"
	"strings"
)

// Optimizers maps the names of TrainingArguments' optim to whether the AdamW states are
// kept in 8 bits. paged_* pages states to the host in bitsandbytes; here they are accepted
// and mean the same AdamW.
var Optimizers = map[string]bool{
	"adamw_torch": false, "adamw_torch_fused": false,
	"paged_adamw_32bit": false, "paged_adamw": false,
	"adamw_8bit": true, "adamw_bnb_8bit": true, "paged_adamw_8bit": true,
}

// Schedules are the names lr_scheduler_type takes.
var Schedules = []string{"cosine", "linear", "constant", "constant_with_warmup"}

// Keeps are what gradient_checkpointing_keep takes.
var Keeps = []string{"auto", "all", "attention", "inputs"}

// Projections are the seven logical projections that carry LoRA.
var Projections = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// check refuses values out of range, with the line of the key, or the file for a default.
func (d *decoder) check(c *Config) {
	need := func(ok bool, key, format string, args ...any) {
		if ok {
			return
		}
		where, set := d.lines[key]
		if !set {
			where = d.file
		}
		d.faults = append(d.faults, &Error{Where: where, Key: key, Text: fmt.Sprintf(format, args...)})
	}
	text := func(key, v string) { need(strings.TrimSpace(v) != "", key, "is required") }
	atLeast := func(key string, v, least int) { need(v >= least, key, "must be at least %d, is %d", least, v) }
	within := func(key string, v, lo, hi float64) {
		need(v >= lo && v <= hi, key, "must lie in [%g, %g], is %g", lo, hi, v)
	}
	above := func(key string, v, lo float64) { need(v > lo, key, "must be above %g, is %g", lo, v) }
	below := func(key string, v float64) { need(v >= 0 && v < 1, key, "must lie in [0, 1), is %g", v) }
	open := func(key string, v float64) { need(v > 0 && v < 1, key, "must lie between 0 and 1, is %g", v) }

	share := func(key string, v float64) { need(v > 0 && v <= 1, key, "must lie in (0, 1], is %g", v) }

	text("output_dir", c.OutputDir)
	need(slices.Contains([]string{"auto", "cpu", "cuda"}, c.Device), "device", "must be auto, cpu or cuda, is %q", c.Device)
	atLeast("threads", c.Threads, 0)

	text("data.input_path", c.Data.InputPath)
	atLeast("data.max_seq_length", c.Data.MaxSeqLength, 16)
	within("data.max_bad_fraction", c.Data.MaxBadFraction, 0, 1)
	text("model.base_model_path", c.Model.BaseModelPath)

	t := &c.Training
	atLeast("training.num_train_epochs", t.NumTrainEpochs, 1)
	atLeast("training.per_device_train_batch_size", t.PerDeviceTrainBatchSize, 1)
	atLeast("training.per_device_eval_batch_size", t.PerDeviceEvalBatchSize, 1)
	atLeast("training.gradient_accumulation_steps", t.GradientAccumulationSteps, 1)
	above("training.learning_rate", t.LearningRate, 0)
	within("training.weight_decay", t.WeightDecay, 0, 1)
	within("training.warmup_ratio", t.WarmupRatio, 0, 1)
	atLeast("training.warmup_steps", t.WarmupSteps, 0)
	need(slices.Contains(Schedules, t.LRSchedulerType), "training.lr_scheduler_type", "must be one of %s, is %q", strings.Join(Schedules, ", "), t.LRSchedulerType)
	above("training.max_grad_norm", t.MaxGradNorm, 0)
	below("training.adam_beta1", t.AdamBeta1)
	below("training.adam_beta2", t.AdamBeta2)
	above("training.adam_epsilon", t.AdamEpsilon, 0)
	_, known := Optimizers[t.Optim]
	need(known, "training.optim", "must be one of %s, is %q", strings.Join(sortedKeys(Optimizers), ", "), t.Optim)
	atLeast("training.seed", t.Seed, 0)
	atLeast("training.logging_steps", t.LoggingSteps, 1)
	atLeast("training.save_steps", t.SaveSteps, 0)
	atLeast("training.save_total_limit", t.SaveTotalLimit, 1)
	atLeast("training.eval_steps", t.EvalSteps, 0)
	need(!(t.FP16 && t.BF16), "training.bf16", "fp16 and bf16 cannot both be true")
	need(slices.Contains(Keeps, t.GradientCheckpointingKeep), "training.gradient_checkpointing_keep", "must be one of %s, is %q", strings.Join(Keeps, ", "), t.GradientCheckpointingKeep)
	atLeast("training.lora_r", t.LoraR, 1)
	above("training.lora_alpha", t.LoraAlpha, 0)
	below("training.lora_dropout", t.LoraDropout)
	need(len(t.LoraTargetModules) > 0, "training.lora_target_modules", "names no projection")
	for i, m := range t.LoraTargetModules {
		key := fmt.Sprintf("training.lora_target_modules[%d]", i)
		need(slices.Contains(Projections, m), key, "must be one of %s, is %q", strings.Join(Projections, ", "), m)
		need(slices.Index(t.LoraTargetModules, m) == i, key, "%s stands twice", m)
	}

	for i, l := range c.SO8T.Layers {
		key := fmt.Sprintf("so8t.layers[%d]", i)
		atLeast(key, l, 0)
		need(slices.Index(c.SO8T.Layers, l) == i, key, "layer %d stands twice", l)
	}
	need(!c.SO8T.Enabled || c.SO8T.Layers == nil || len(c.SO8T.Layers) > 0, "so8t.layers", "names no layer; write so8t.enabled: false for a run without gates")

	atLeast("checkpoint.interval_seconds", c.Checkpoint.IntervalSeconds, 1)
	atLeast("checkpoint.max_checkpoints", c.Checkpoint.MaxCheckpoints, 1)
	atLeast("checkpoint.heartbeat_timeout_seconds", c.Checkpoint.HeartbeatTimeoutSeconds, 2)

	atLeast("evaluation.max_new_tokens", c.Evaluation.MaxNewTokens, 1)
	atLeast("evaluation.fallback_tokens", c.Evaluation.FallbackTokens, 1)
	atLeast("evaluation.max_samples", c.Evaluation.MaxSamples, 0)
	atLeast("evaluation.batch_size", c.Evaluation.BatchSize, 1)
	atLeast("ab_test.bootstrap_samples", c.ABTest.BootstrapSamples, 100)
	open("ab_test.alpha", c.ABTest.Alpha)
	atLeast("ab_test.seed", c.ABTest.Seed, 0)
	open("promotion.alpha", c.Promotion.Alpha)
	within("promotion.min_accuracy_gain", c.Promotion.MinAccuracyGain, 0, 1)
	within("promotion.max_false_allow_increase", c.Promotion.MaxFalseAllowIncrease, 0, 1)
	share("promotion.min_well_formed_rate", c.Promotion.MinWellFormedRate)
	share("promotion.max_over_refusal_rate", c.Promotion.MaxOverRefusalRate)
	atLeast("nightly.keep", c.Nightly.Keep, 0)
}
