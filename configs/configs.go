// Package configs reads the YAML of a run: strictly, with defaults, and with errors
// that name the file, the line and the key.
//
// Keys are named as Hugging Face's TrainingArguments and PEFT's LoraConfig name them.
// The comments of the fields below are the reference of every key: what it means, its unit,
// what it decides (the tag digest, see Digest), and, in Default, its value where the file has none.
//
// A Config travels through workflow histories, which many can read. No secret may stand in it: a key for one ends in
// _env and holds the name of an environment variable.
package configs

import (
	"time"

	"so8t/policy"
)

// Config is a whole run. Only output_dir, data.input_path and model.base_model_path
// have no default.
type Config struct {
	// OutputDir receives everything the run writes. "{workflow_id}" in it is replaced,
	// so that a schedule's runs each get a directory of their own.
	OutputDir string `json:"output_dir" digest:"-"`
	// Device is auto, cpu, cuda (the first GPU) or cuda:N (the N-th, counted from 0). auto takes the first GPU where there
	// is one, else the CPU. The claim resolves it for the whole run. The number of a GPU changes no result.
	Device string `json:"device"`
	// Threads of the CPU library; 0 takes all cores. It never changes a result.
	Threads int `json:"threads" digest:"-"`

	Data Data `json:"data"`
	// Policy decides which records may teach the model; its keys are documented in policy/options.go.
	Policy     policy.Options `json:"policy" digest:"added"`
	Model      Model          `json:"model"`
	Training   Training       `json:"training"`
	SO8T       SO8T           `json:"so8t"`
	Checkpoint Checkpoint     `json:"checkpoint" digest:"-"`
	Evaluation Evaluation     `json:"evaluation" digest:"verdict"`
	ABTest     ABTest         `json:"ab_test" digest:"verdict"`
	Promotion  Promotion      `json:"promotion" digest:"verdict"`
	Nightly    Nightly        `json:"nightly,omitzero" digest:"-"`
}

// Data is the dataset and how it is rendered.
type Data struct {
	// InputPath is a file, a glob, or a list of both: JSONL, a JSON array, Parquet or Arrow IPC; plain, gzip or zstd.
	InputPath Paths `json:"input_path" digest:"-"`
	// Take is newest (the one file that was changed last) or all (every match, in the order of their names). Empty: newest
	// for a glob, all for a list of several.
	Take string `json:"take,omitempty" digest:"-"`
	// Format is auto (recognised record by record, by its columns), alpaca (instruction, input, output), messages,
	// sharegpt (conversations), prompt_completion or question_answer.
	Format string `json:"format" digest:"added"`
	// Columns maps a field (instruction, output, four_class_label …) to the column that holds it; dots lead into nested
	// ones. Of several ("a | b") the first with a value counts.
	Columns map[string]string `json:"columns" digest:"added"`
	// Labels maps values of the label's column to the four classes. Differences of case and width need no mapping.
	Labels map[string]string `json:"labels" digest:"added"`
	// UnknownColumns is count (counted by name and passed over) or refuse (the record is a bad line).
	UnknownColumns string `json:"unknown_columns" digest:"added"`
	// FourClass means that every record has one of the four labels. false is a plain fine-tune: no labels, answers as they
	// are, judged by their token loss. It sets UseQuadrupleThinking to false.
	FourClass bool `json:"four_class" digest:"added"`
	// TrainOn is last (the loss counts the last assistant turn) or assistant (every assistant turn).
	TrainOn string `json:"train_on" digest:"added"`
	// MaxSeqLength in tokens; longer samples are left out and counted.
	MaxSeqLength int `json:"max_seq_length"`
	// UseQuadrupleThinking renders the assistant's turn as think-task, think-safety,
	// think-policy and final.
	UseQuadrupleThinking bool `json:"use_quadruple_thinking"`
	// MaxBadFraction of the records may be unusable before the run refuses the data.
	MaxBadFraction float64 `json:"max_bad_fraction"`
	// MaxTooLongFraction of the samples may be longer than MaxSeqLength before the run refuses the data.
	MaxTooLongFraction float64 `json:"max_too_long_fraction" digest:"added"`
}

// Model is the base that is retrained.
type Model struct {
	// BaseModelPath is a directory in Hugging Face layout.
	BaseModelPath string `json:"base_model_path" digest:"-"`
	// LoadIn8bit holds the base's linear weights as int8 rows (QLoRA); false holds
	// them in the compute type.
	LoadIn8bit bool `json:"load_in_8bit"`
	// KeepExpanded holds, in training on a GPU, the int8 weights in the compute type as well, with the adapters in place, so
	// that no product expands them anew: true, false, or auto: where it fits beside what gradient_checkpointing_keep saves
	// and a checkpoint's copy. It changes memory and speed only, and needs a lora_r that 8 divides. A CPU reads int8 as it
	// lies: auto is false there.
	KeepExpanded Switch `json:"keep_expanded,omitempty" digest:"-"`
}

// Training is the optimisation, under the names of TrainingArguments and LoraConfig.
type Training struct {
	NumTrainEpochs            int `json:"num_train_epochs"`
	PerDeviceTrainBatchSize   int `json:"per_device_train_batch_size"`
	PerDeviceEvalBatchSize    int `json:"per_device_eval_batch_size" digest:"-"` // samples of one validation batch
	GradientAccumulationSteps int `json:"gradient_accumulation_steps"`

	LearningRate float64 `json:"learning_rate"`
	WeightDecay  float64 `json:"weight_decay"`
	// WarmupRatio is a fraction of all optimizer steps; WarmupSteps, where not 0, overrides it.
	WarmupRatio float64 `json:"warmup_ratio"`
	WarmupSteps int     `json:"warmup_steps"`
	// LRSchedulerType is cosine, linear, constant or constant_with_warmup.
	LRSchedulerType string  `json:"lr_scheduler_type"`
	MaxGradNorm     float64 `json:"max_grad_norm"`
	AdamBeta1       float64 `json:"adam_beta1"`
	AdamBeta2       float64 `json:"adam_beta2"`
	AdamEpsilon     float64 `json:"adam_epsilon"`
	// Optim is one of Optimizers; the 8-bit ones hold block-wise 8-bit states.
	Optim string `json:"optim"`
	Seed  int    `json:"seed"`

	// LoggingSteps between lines of the log and points of the loss curve.
	LoggingSteps int `json:"logging_steps" digest:"-"`
	// SaveSteps between checkpoints, besides those by time; 0: by time only.
	SaveSteps int `json:"save_steps" digest:"-"`
	// SaveTotalLimit bounds the checkpoints on disk, as checkpoint.max_checkpoints does: the smaller applies.
	SaveTotalLimit int `json:"save_total_limit" digest:"-"`
	// EvalSteps between measurements of the validation loss; 0: at epoch ends only.
	EvalSteps int `json:"eval_steps" digest:"-"`

	// FP16 and BF16 both compute in bfloat16 and have the same digest; without either, float32. Both together are refused.
	FP16 bool `json:"fp16"`
	BF16 bool `json:"bf16"`
	// GradientCheckpointing saves only some of a layer's activations for the backward pass and recomputes the
	// rest. It changes memory and speed only.
	GradientCheckpointing bool `json:"gradient_checkpointing" digest:"-"`
	// GradientCheckpointingKeep says what is saved then: inputs (of each layer), attention (also what attention
	// reads and writes), all, or auto: on a GPU the most of these that fits its memory, on a CPU inputs.
	GradientCheckpointingKeep string `json:"gradient_checkpointing_keep,omitempty" digest:"-"`

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

// Checkpoint says when state is saved, and how long a worker may be silent.
type Checkpoint struct {
	IntervalSeconds int `json:"interval_seconds"`
	MaxCheckpoints  int `json:"max_checkpoints"`
	// HeartbeatTimeoutSeconds is both the outage of the Temporal server that training
	// survives without losing its attempt, and the delay before a lost machine's work
	// is given to the next worker.
	HeartbeatTimeoutSeconds int `json:"heartbeat_timeout_seconds"`
}

// HeartbeatTimeout is HeartbeatTimeoutSeconds.
func (c Checkpoint) HeartbeatTimeout() time.Duration {
	return time.Duration(c.HeartbeatTimeoutSeconds) * time.Second
}

// Evaluation of one model on the test part.
type Evaluation struct {
	// MaxNewTokens bounds an answer.
	MaxNewTokens int `json:"max_new_tokens"`
	// FallbackTokens bounds a think-task that is made from an answer without one.
	FallbackTokens int `json:"fallback_tokens"`
	// MaxSamples of the test part are evaluated; 0: all.
	MaxSamples int `json:"max_samples"`
	// BatchSize is the number of answers generated at a time. It changes speed and memory only: the KV cache of
	// Phi-3.5-mini takes 0.4 MB for each token of each answer. Where memory is short the youngest answers wait.
	BatchSize int `json:"batch_size" digest:"-"`
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
	// MinLossReduction is what a run without data.four_class is judged by, with Alpha: how much the token loss must fall, in nats.
	MinLossReduction float64 `json:"min_loss_reduction" digest:"added"`
}

// Nightly is read by runs that a schedule starts, each in a dated directory of its own under output_dir.
type Nightly struct {
	// Keep is how many nights' directories stay; 0: all. Once a night has been compared, those
	// older than the newest Keep that got as far as a model are deleted; nights that
	// failed are not counted, so that they cannot push out good ones. Never deleted are the
	// night that output_dir/final_model/current points at, and nights of another file or schedule.
	Keep int `json:"keep"`
}

// Default holds the values of keys that the file leaves out: those of the published run.
func Default() Config {
	return Config{
		Device: "auto",
		Data: Data{MaxSeqLength: 2048, UseQuadrupleThinking: true, MaxBadFraction: 0.01, MaxTooLongFraction: 0.05,
			Format: "auto", UnknownColumns: "count", FourClass: true, TrainOn: "last"},
		Policy: policy.Default(),
		Model:  Model{LoadIn8bit: true, KeepExpanded: Auto},
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
