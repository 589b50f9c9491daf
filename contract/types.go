package contract

import (
	"fmt"
	"time"

	"so8t/configs"
	"so8t/device"
)

// Run is the input of every activity after Claim. It takes a few kilobytes of the history and holds
// neither tensors nor records.
type Run struct {
	WorkflowID string         `json:"workflow_id"`
	Host       string         `json:"host"`
	OutputDir  string         `json:"output_dir"` // absolute, on Host
	InputPath  string         `json:"input_path"` // the first of InputPaths
	BasePath   string         `json:"base_path"`  // absolute
	BaseName   string         `json:"base_name"`
	BaseDigest string         `json:"base_digest"`
	Config     configs.Config `json:"config"`
	ConfigPath string         `json:"config_path"`
	// Device is what Config.Device resolves to on Host, never auto. It is zero in runs claimed by a version without it.
	Device device.Device `json:"device,omitzero"`
	// InputPaths are the files that data.input_path and data.take name: absolute, in order. Only Split gets them, as there
	// may be thousands. They are absent in runs claimed by a version that read one file.
	InputPaths []string `json:"input_paths,omitempty"`
	// CheckpointID is the workflow id that the output directory's checkpoints carry. It differs from
	// WorkflowID if this run continues one that has ended.
	CheckpointID string `json:"checkpoint_id"`
	// CheckpointConfig is the training digest that they carry, if it is not Config's: two configs that are written
	// differently may train the same weights.
	CheckpointConfig string `json:"checkpoint_config,omitempty"`
	// Owns says that Claim made the run the owner of OutputDir. It is absent in runs that evaluate or compare another's
	// model, and in runs claimed by a version without it.
	Owns bool `json:"owns,omitempty"`
	// Resumes counts how often a person resumed the run; each resets the count of starts without progress.
	Resumes int `json:"resumes,omitempty"`
	// Night is nil unless the run is nightly.
	Night *Night `json:"night,omitempty"`
}

// Inputs names the input files in one line.
func (r Run) Inputs() string {
	if more := len(r.InputPaths) - 1; more > 0 {
		return fmt.Sprintf("%s and %d more", r.InputPath, more)
	}
	return r.InputPath
}

// Night is a run with a dated directory of its own in its configuration's output_dir.
type Night struct {
	Root string `json:"root"` // output_dir, absolute; Run.OutputDir is in it
	Name string `json:"name"` // of Run.OutputDir in Root
	Series
	At time.Time `json:"at"` // the time it was scheduled for
}

// Series identifies the nights of one configuration and schedule among those in a Root.
type Series struct {
	Config   string `json:"config"`             // absolute path of the YAML
	Schedule string `json:"schedule,omitempty"` // id; empty for runs started by hand
}

// ClaimInput is the input of Claim.
type ClaimInput struct {
	RunInput
	// Existing means that the output directory must already hold a run of this config, whose model is
	// evaluated or compared again.
	Existing bool `json:"existing,omitempty"`
	// ScheduledAt names a night; ScheduledBy is the id of the schedule that started it, if any.
	ScheduledAt time.Time `json:"scheduled_at,omitzero"`
	ScheduledBy string    `json:"scheduled_by,omitempty"`
}

// Claimed is the result of Claim: the run, which owns its output directory from now on.
type Claimed struct {
	Run             Run      `json:"run"`
	Notes           []string `json:"notes,omitempty"`             // settings that act otherwise than their names suggest
	SearchAttribute bool     `json:"search_attributes,omitempty"` // the server has the run's search attributes
}

// SplitResult counts the samples of each part, and what was left out.
type SplitResult struct {
	DatasetDigest string `json:"dataset_digest"` // of the input and of all that decides the samples
	Train         int64  `json:"train"`
	Val           int64  `json:"val"`
	Test          int64  `json:"test"`
	Bad           int64  `json:"bad"`
	TrainTokens   int64  `json:"train_tokens"`

	TooLong int64    `json:"too_long,omitempty"`
	Removed int64    `json:"removed,omitempty"` // by the policy
	Notes   []string `json:"notes,omitempty"`   // what a person should know of the data, worst first
	Report  string   `json:"report,omitempty"`  // policy_report.json
}

// TrainInput asks for one epoch, starting at the newest checkpoint.
type TrainInput struct {
	Run           Run    `json:"run"`
	DatasetDigest string `json:"dataset_digest"`
	Epoch         int    `json:"epoch"` // from 1
}

// TrainResult is the state of training after the activity.
type TrainResult struct {
	Progress Progress `json:"progress"`
	// EpochDone is false if the activity was cancelled before the end; the state is on disk.
	EpochDone bool `json:"epoch_done"`
	// Checkpoint is the name of the newest checkpoint.
	Checkpoint string `json:"checkpoint"`
}

// ExportInput asks for the adapters, the merged model and the metadata.
type ExportInput struct {
	Run           Run    `json:"run"`
	DatasetDigest string `json:"dataset_digest"`
}

// ExportResult names the files that were written.
type ExportResult struct {
	Dir           string `json:"dir"`
	AdapterSHA256 string `json:"adapter_sha256"`
	Summary       string `json:"summary"`
}

// EvaluateInput asks for the evaluation of one model: "base" or "retrained".
type EvaluateInput struct {
	Run   Run    `json:"run"`
	Model string `json:"model"`
	// Fresh repeats the evaluation even if its result is on disk.
	Fresh bool `json:"fresh,omitempty"`
}

// EvaluateResult holds the main figures of an evaluation; File has all of them.
type EvaluateResult struct {
	Model          string  `json:"model"`
	File           string  `json:"file"`
	Samples        int     `json:"samples"`
	Accuracy       float64 `json:"accuracy"`
	MacroF1        float64 `json:"macro_f1"`
	FalseAllowRate float64 `json:"false_allow_rate"`
	WellFormedRate float64 `json:"well_formed_rate"`
	TokenLoss      float64 `json:"token_loss"`
	TokensPerSec   float64 `json:"tokens_per_second"`

	Plain      bool    `json:"plain,omitempty"` // a run without labels: token loss and perplexity are all that is measured
	Perplexity float64 `json:"perplexity,omitempty"`
}

// String names the figures that a reader of the run's page looks for.
func (r EvaluateResult) String() string {
	if r.Plain {
		return fmt.Sprintf("%s: token loss %.2f, perplexity %.1f", r.Model, r.TokenLoss, r.Perplexity)
	}
	return fmt.Sprintf("%s: accuracy %.1f %%, macro F1 %.3f, false allow %.1f %%", r.Model, 100*r.Accuracy, r.MacroF1, 100*r.FalseAllowRate)
}

// CompareInput asks for the A/B report on the two evaluations that are on disk.
type CompareInput struct {
	Run Run `json:"run"`
}

// CompareResult is the verdict, the reasons for it, and the files of the report.
type CompareResult struct {
	Verdict  string   `json:"verdict"` // promote or reject
	Reasons  []string `json:"reasons,omitempty"`
	PValue   float64  `json:"p_value"`
	Table    string   `json:"table"`   // for a terminal
	Report   string   `json:"report"`  // ab_test_report.html
	Results  string   `json:"results"` // ab_test_results.json
	Promoted string   `json:"promoted,omitempty"`
	Removed  []string `json:"removed,omitempty"` // names of the older nights that nightly.keep removed
}

// SaveNowInput asks the process that trains the workflow for a checkpoint after its current step.
type SaveNowInput struct {
	WorkflowID string `json:"workflow_id"`
}

// SaveNowResult describes that checkpoint.
type SaveNowResult struct {
	Checkpoint string `json:"checkpoint"`
	Epoch      int    `json:"epoch"`
	Step       int    `json:"step"`
}

// Result of a Retrain.
type Result struct {
	OutputDir string          `json:"output_dir"`
	Host      string          `json:"host"`
	Steps     int             `json:"steps"`
	Stopped   bool            `json:"stopped,omitempty"` // a person stopped training early
	Base      *EvaluateResult `json:"base,omitempty"`
	Retrained *EvaluateResult `json:"retrained,omitempty"`
	Compare   *CompareResult  `json:"compare,omitempty"`
	Export    *ExportResult   `json:"export,omitempty"`
	Notes     []string        `json:"notes,omitempty"` // of claim and split
}

// Phases of a run, in order.
const (
	PhaseClaim    = "claim"
	PhaseSplit    = "split"
	PhaseTrain    = "train"
	PhaseExport   = "export"
	PhaseEvaluate = "evaluate"
	PhaseCompare  = "compare"
	PhaseDone     = "done"
)

// Progress is the state of a run: the result of the progress query, the details of heartbeats, and the
// argument of SignalProgress.
type Progress struct {
	Phase  string `json:"phase"`
	Detail string `json:"detail,omitempty"` // what the current phase works on

	Epoch        int     `json:"epoch,omitempty"` // from 1
	Epochs       int     `json:"epochs,omitempty"`
	Step         int     `json:"step,omitempty"` // of the whole run
	Steps        int     `json:"steps,omitempty"`
	Loss         float64 `json:"loss,omitempty"`     // of the latest step
	ValLoss      float64 `json:"val_loss,omitempty"` // of the last validation; 0: none yet
	LearningRate float64 `json:"learning_rate,omitempty"`
	GradNorm     float64 `json:"grad_norm,omitempty"`
	TokensPerSec float64 `json:"tokens_per_second,omitempty"`
	SecondsLeft  float64 `json:"seconds_left,omitempty"` // of training

	Checkpoint       string    `json:"checkpoint,omitempty"`
	CheckpointDigest string    `json:"checkpoint_digest,omitempty"`
	CheckpointAt     time.Time `json:"checkpoint_at,omitzero"`

	// Done of Total: samples in an evaluation, bytes of the input in a split.
	Done  int `json:"done,omitempty"`
	Total int `json:"total,omitempty"`

	GPU *GPU `json:"gpu,omitempty"` // nil on the CPU

	// Notice tells people something that does not stop the run; the page shows it until the run ends.
	Notice string `json:"notice,omitempty"`

	At time.Time `json:"at,omitzero"`

	// The workflow fills in the rest.
	Notes    []string `json:"notes,omitempty"` // of claim and split
	Paused   bool     `json:"paused,omitempty"`
	Why      string   `json:"why,omitempty"`
	Stopping bool     `json:"stopping,omitempty"`
	Verdict  string   `json:"verdict,omitempty"`
}

// GPU is the device's current load; performance_report.json has more figures.
type GPU struct {
	MemoryUsedBytes    uint64 `json:"memory_used_bytes"`
	MemoryTotalBytes   uint64 `json:"memory_total_bytes"`
	UtilizationPercent *int   `json:"utilization_percent,omitempty"` // nil: not reported by the driver
	PowerWatts         *int   `json:"power_watts,omitempty"`
}
