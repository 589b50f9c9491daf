// Package configs reads the YAML of a run: strictly, with defaults, and with errors
// that name the file, the line and the key.
//
// Keys are named as Hugging Face's TrainingArguments and PEFT's LoraConfig name them.
// The struct comments below are the reference of every key: what it means, its unit,
// and, through Default, what it is when the file does not say.
package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Config is a whole run. Only output_dir, data.input_path and model.base_model_path
// have no default.
type Config struct {
	// OutputDir receives everything the run writes. "{workflow_id}" in it is replaced,
	// so that a schedule's runs each get a directory of their own.
	OutputDir string `json:"output_dir"`
	// Device is auto, cpu or cuda. auto takes a GPU where there is one.
	Device string `json:"device"`
	// Threads of the CPU library; 0 takes all cores. It never changes a result.
	Threads int `json:"threads"`

	Data       Data       `json:"data"`
	Model      Model      `json:"model"`
	Training   Training   `json:"training"`
	SO8T       SO8T       `json:"so8t"`
	Checkpoint Checkpoint `json:"checkpoint"`
	Evaluation Evaluation `json:"evaluation"`
	ABTest     ABTest     `json:"ab_test"`
	Promotion  Promotion  `json:"promotion"`
	Nightly    Nightly    `json:"nightly"`
}

// Data is the dataset and how it is rendered.
type Data struct {
	// InputPath is a JSONL file or a glob; of a glob's matches the newest is taken.
	InputPath string `json:"input_path"`
	// MaxSeqLength in tokens; longer samples are bad lines.
	MaxSeqLength int `json:"max_seq_length"`
	// UseQuadrupleThinking renders the assistant's turn as think-task, think-safety,
	// think-policy and final.
	UseQuadrupleThinking bool `json:"use_quadruple_thinking"`
	// MaxBadFraction of the lines may be unusable before the run refuses the file.
	MaxBadFraction float64 `json:"max_bad_fraction"`
}

// Model is the base that is retrained.
type Model struct {
	// BaseModelPath is a directory in Hugging Face layout.
	BaseModelPath string `json:"base_model_path"`
	// LoadIn8bit keeps the base's linear weights as int8 rows (QLoRA); false keeps
	// them in the computing type.
	LoadIn8bit bool `json:"load_in_8bit"`
}

// Training is the optimisation, under the names of TrainingArguments and LoraConfig.
type Training struct {
	NumTrainEpochs            int `json:"num_train_epochs"`
	PerDeviceTrainBatchSize   int `json:"per_device_train_batch_size"`
	PerDeviceEvalBatchSize    int `json:"per_device_eval_batch_size"` // samples of one validation batch
	GradientAccumulationSteps int `json:"gradient_accumulation_steps"`

	LearningRate float64 `json:"learning_rate"`
	WeightDecay  float64 `json:"weight_decay"`
	// WarmupRatio is a fraction of all optimizer steps; WarmupSteps, where not 0, rules.
	WarmupRatio float64 `json:"warmup_ratio"`
	WarmupSteps int     `json:"warmup_steps"`
	// LRSchedulerType is cosine, linear, constant or constant_with_warmup.
	LRSchedulerType string  `json:"lr_scheduler_type"`
	MaxGradNorm     float64 `json:"max_grad_norm"`
	AdamBeta1       float64 `json:"adam_beta1"`
	AdamBeta2       float64 `json:"adam_beta2"`
	AdamEpsilon     float64 `json:"adam_epsilon"`
	// Optim is one of Optimizers; the 8-bit ones keep block-wise 8-bit states.
	Optim string `json:"optim"`
	Seed  int    `json:"seed"`

	// LoggingSteps between lines of the log and points of the loss curve.
	LoggingSteps int `json:"logging_steps"`
	// SaveSteps between checkpoints, besides those by time; 0: by time only.
	SaveSteps int `json:"save_steps"`
	// SaveTotalLimit and checkpoint.max_checkpoints: the smaller rules.
	SaveTotalLimit int `json:"save_total_limit"`
	// EvalSteps between measurements of the validation loss; 0: at epoch ends only.
	EvalSteps int `json:"eval_steps"`

	// FP16 or BF16 compute in bfloat16; neither means float32; both are refused.
	FP16 bool `json:"fp16"`
	BF16 bool `json:"bf16"`
	// GradientCheckpointing keeps less than everything of a layer for the backward pass and
	// computes the rest again. It changes memory and speed only.
	GradientCheckpointing bool `json:"gradient_checkpointing"`
	// GradientCheckpointingKeep is what is kept then: inputs, of each layer; attention, also what
	// attention reads and writes; all; or auto, the most of these that fits a GPU's memory, on a CPU inputs.
	GradientCheckpointingKeep string `json:"gradient_checkpointing_keep,omitempty"` // left out of digests: see results

	LoraR             int      `json:"lora_r"`
	LoraAlpha         float64  `json:"lora_alpha"`
	LoraTargetModules []string `json:"lora_target_modules"`
	LoraDropout       float64  `json:"lora_dropout"`
}

// SO8T are the rotation gates on the input of o_proj.
type SO8T struct {
	Enabled bool `json:"enabled"`
	// Layers that carry a gate, counted from 0; absent or null: all of them.
	Layers []int `json:"layers"`
}

// Checkpoint says when state goes to disk, and how long silence may last.
type Checkpoint struct {
	IntervalSeconds int `json:"interval_seconds"`
	MaxCheckpoints  int `json:"max_checkpoints"`
	// HeartbeatTimeoutSeconds is both the outage of the Temporal server that training
	// survives without losing its attempt, and the delay before a lost machine's work
	// is given to the next worker.
	HeartbeatTimeoutSeconds int `json:"heartbeat_timeout_seconds"`
}

// Evaluation of one model on the test part.
type Evaluation struct {
	// MaxNewTokens bounds an answer.
	MaxNewTokens int `json:"max_new_tokens"`
	// FallbackTokens bounds a think-task that is made from an answer without one.
	FallbackTokens int `json:"fallback_tokens"`
	// MaxSamples of the test part are evaluated; 0: all.
	MaxSamples int `json:"max_samples"`
	// BatchSize is the number of answers generated at a time. It changes speed and memory
	// only: Phi-3.5-mini keeps 0.4 MB for each token of each of them. Where memory is short the
	// youngest of them wait.
	BatchSize int `json:"batch_size"`
}

// ABTest compares base and retrained on the same samples.
type ABTest struct {
	BootstrapSamples int `json:"bootstrap_samples"`
	// Alpha is the family-wise level of the tests and the intervals' coverage, 1 − alpha.
	Alpha float64 `json:"alpha"`
	Seed  int     `json:"seed"`
}

// Promotion is the gate: final_model/current moves only if all of it holds.
type Promotion struct {
	// Alpha is the level at which the retrained model must be better in accuracy.
	Alpha float64 `json:"alpha"`
	// MinAccuracyGain is how much accuracy must rise, in absolute terms.
	MinAccuracyGain float64 `json:"min_accuracy_gain"`
	// MaxFalseAllowIncrease is how much the false-allow rate may rise, in absolute terms.
	MaxFalseAllowIncrease float64 `json:"max_false_allow_increase"`
	// MinWellFormedRate is the least share of answers in the quadruple form.
	MinWellFormedRate float64 `json:"min_well_formed_rate"`
	// MaxOverRefusalRate of the retrained model: harmless requests that it refuses.
	MaxOverRefusalRate float64 `json:"max_over_refusal_rate"`
}

// Nightly is read by runs that a schedule starts, each in a dated directory of its own under output_dir.
type Nightly struct {
	// Keep is how many nights' directories stay; 0: all. Once a night has been compared, those
	// older than the newest Keep that got as far as a model are deleted; nights that
	// failed are not counted, so that they cannot push out good ones. Never deleted are the
	// night that output_dir/final_model/current points at, and nights of another file or schedule.
	Keep int `json:"keep"`
}

// Default is what a run does where its file says nothing: the published run's values.
func Default() Config {
	return Config{
		Device: "auto",
		Data:   Data{MaxSeqLength: 2048, UseQuadrupleThinking: true, MaxBadFraction: 0.01},
		Model:  Model{LoadIn8bit: true},
		Training: Training{
			NumTrainEpochs: 3, PerDeviceTrainBatchSize: 1, PerDeviceEvalBatchSize: 1, GradientAccumulationSteps: 16,
			LearningRate: 2e-4, WeightDecay: 0.01, WarmupRatio: 0.1, LRSchedulerType: "cosine", MaxGradNorm: 1,
			AdamBeta1: 0.9, AdamBeta2: 0.999, AdamEpsilon: 1e-8, Optim: "paged_adamw_8bit", Seed: 42,
			LoggingSteps: 10, SaveSteps: 500, SaveTotalLimit: 10, EvalSteps: 500, BF16: false,
			GradientCheckpointing: true, GradientCheckpointingKeep: "auto", LoraR: 64, LoraAlpha: 128, LoraDropout: 0.05,
			LoraTargetModules: []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
		},
		SO8T:       SO8T{Enabled: true},
		Checkpoint: Checkpoint{IntervalSeconds: 300, MaxCheckpoints: 10, HeartbeatTimeoutSeconds: 180},
		Evaluation: Evaluation{MaxNewTokens: 512, FallbackTokens: 128, BatchSize: 8},
		ABTest:     ABTest{BootstrapSamples: 10000, Alpha: 0.05, Seed: 42},
		Promotion:  Promotion{Alpha: 0.05, MinWellFormedRate: 0.95, MaxOverRefusalRate: 0.10},
		Nightly:    Nightly{Keep: 7},
	}
}

// Float32 reports whether the run computes in float32 rather than bfloat16.
func (c *Config) Float32() bool { return !c.Training.FP16 && !c.Training.BF16 }

// SamplesPerStep is the number of samples of one optimizer step.
func (c *Config) SamplesPerStep() int {
	return c.Training.PerDeviceTrainBatchSize * c.Training.GradientAccumulationSteps
}

// KeepCheckpoints is how many checkpoints stay on disk.
func (c *Config) KeepCheckpoints() int {
	return min(c.Training.SaveTotalLimit, c.Checkpoint.MaxCheckpoints)
}

// Digest names everything that decides a run's results: two configs of one digest give
// the same adapter and the same verdict. Paths are left out, since their contents have
// digests of their own, and so is what only decides how often something is written.
func (c *Config) Digest() string { return digest(c.results()) }

// TrainingDigest names what decides the trained weights alone, so that a checkpoint
// outlives a change of the evaluation or of the promotion gate.
func (c *Config) TrainingDigest() string {
	r := c.results()
	r.Evaluation, r.ABTest, r.Promotion = Evaluation{}, ABTest{}, Promotion{}
	return digest(r)
}

func (c *Config) results() Config {
	r := *c
	r.OutputDir, r.Threads, r.Data.InputPath, r.Model.BaseModelPath = "", 0, "", ""
	r.Checkpoint, r.Evaluation.BatchSize = Checkpoint{}, 0
	t := &r.Training
	t.LoggingSteps, t.SaveSteps, t.SaveTotalLimit, t.EvalSteps, t.PerDeviceEvalBatchSize = 0, 0, 0, 0, 0
	// Not bits of the result either: the same step is computed again, from what is kept. An empty keep is left out
	// of the digest's text, as it was before there was such a key.
	t.GradientCheckpointing, t.GradientCheckpointingKeep = false, ""
	t.FP16, t.BF16 = !c.Float32(), false
	return r
}

func digest(c Config) string {
	// nightly decides nothing of a run. Leaving it out keeps the digests of runs that began before there was such a key.
	b, err := json.Marshal(struct {
		Config
		Nightly *Nightly `json:"nightly,omitempty"`
	}{Config: c})
	if err != nil {
		panic(err) // numbers, strings and booleans: validated to be finite
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
