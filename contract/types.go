package contract

import (
	"time"

	"so8t/configs"
	"so8t/device"
)

// Run is what every activity after Claim needs to know: a few kilobytes in the history,
// never a tensor or a record.
type Run struct {
	WorkflowID string         `json:"workflow_id"`
	Host       string         `json:"host"`
	OutputDir  string         `json:"output_dir"` // absolute, on Host
	InputPath  string         `json:"input_path"` // the file that was chosen, absolute
	BasePath   string         `json:"base_path"`  // absolute
	BaseName   string         `json:"base_name"`
	BaseDigest string         `json:"base_digest"`
	Config     configs.Config `json:"config"`
	ConfigPath string         `json:"config_path"`
	// Device is what Config.Device means on Host, never auto. Zero in runs that were claimed before it was told here.
	Device device.Device `json:"device,omitzero"`
	// CheckpointID is the workflow id under which the output directory's checkpoints are
	// kept: another than WorkflowID where this run goes on with what an ended one left.
	CheckpointID string `json:"checkpoint_id"`
	// Resumes counts what a person resumed: the limit on starts without progress begins anew.
	Resumes int `json:"resumes,omitempty"`
	// Night is nil for a run that is not one of many.
	Night *Night `json:"night,omitempty"`
}

// Night is one of the runs of a configuration whose output_dir holds a directory for each.
type Night struct {
	Root string `json:"root"` // output_dir, absolute; Run.OutputDir is in it
	Name string `json:"name"` // of Run.OutputDir in Root
	Series
	At time.Time `json:"at"` // for which it was scheduled
}

// Series tells apart the nights of several configurations in one Root.
type Series struct {
	Config   string `json:"config"`             // absolute path of the YAML
	Schedule string `json:"schedule,omitempty"` // id; empty for runs started by hand
}

// ClaimInput asks a worker to take the run.
type ClaimInput struct {
	RunInput
	// Existing: the output directory must hold a run of this config already, whose model is
	// to be evaluated or compared again.
	Existing bool `json:"existing,omitempty"`
	// ScheduledAt is the time that names a night, ScheduledBy the schedule that started it, if one did.
	ScheduledAt time.Time `json:"scheduled_at,omitzero"`
	ScheduledBy string    `json:"scheduled_by,omitempty"`
}

// Claimed is a worker's answer: the run is its own from now on.
type Claimed struct {
	Run             Run      `json:"run"`
	Notes           []string `json:"notes,omitempty"`             // what a reader of the log should know about the config
	SearchAttribute bool     `json:"search_attributes,omitempty"` // the server knows them
}

// SplitResult sums up the dataset.
type SplitResult struct {
	DatasetDigest string `json:"dataset_digest"`
	Train         int64  `json:"train"`
	Val           int64  `json:"val"`
	Test          int64  `json:"test"`
	Bad           int64  `json:"bad"`
	TrainTokens   int64  `json:"train_tokens"`
}

// TrainInput asks for one epoch, from wherever the newest checkpoint left it.
type TrainInput struct {
	Run           Run    `json:"run"`
	DatasetDigest string `json:"dataset_digest"`
	Epoch         int    `json:"epoch"` // 1 is the first
}

// TrainResult is where training stands after the activity.
type TrainResult struct {
	Progress Progress `json:"progress"`
	// EpochDone is false when the activity was cancelled on the way: state is on disk.
	EpochDone bool `json:"epoch_done"`
	// Checkpoint is the name of the newest one.
	Checkpoint string `json:"checkpoint"`
}

// ExportInput asks for the files that leave the run.
type ExportInput struct {
	Run           Run    `json:"run"`
	DatasetDigest string `json:"dataset_digest"`
}

// ExportResult names what was written.
type ExportResult struct {
	Dir           string `json:"dir"`
	AdapterSHA256 string `json:"adapter_sha256"`
	Summary       string `json:"summary"`
}

// EvaluateInput asks for one model's figures: "base" or "retrained".
type EvaluateInput struct {
	Run   Run    `json:"run"`
	Model string `json:"model"`
	// Fresh asks for it even where the same figures lie on disk.
	Fresh bool `json:"fresh,omitempty"`
}

// EvaluateResult are the figures shown on the way; all of them are in File.
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
}

// CompareInput asks for the A/B report of the two evaluations on disk.
type CompareInput struct {
	Run Run `json:"run"`
}

// CompareResult is the verdict and what it stands on.
type CompareResult struct {
	Verdict  string   `json:"verdict"` // promote or keep
	Reasons  []string `json:"reasons,omitempty"`
	PValue   float64  `json:"p_value"`
	Table    string   `json:"table"`   // for a terminal
	Report   string   `json:"report"`  // ab_test_report.html
	Results  string   `json:"results"` // ab_test_results.json
	Promoted string   `json:"promoted,omitempty"`
	Removed  []string `json:"removed,omitempty"` // names of older nights, to keep no more than nightly.keep
}

// SaveNowInput asks the process that trains for a checkpoint after the present step.
type SaveNowInput struct {
	WorkflowID string `json:"workflow_id"`
}

// SaveNowResult is that checkpoint.
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
	Stopped   bool            `json:"stopped,omitempty"` // finished early, on request
	Base      *EvaluateResult `json:"base,omitempty"`
	Retrained *EvaluateResult `json:"retrained,omitempty"`
	Compare   *CompareResult  `json:"compare,omitempty"`
	Export    *ExportResult   `json:"export,omitempty"`
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

// Progress is the state of a run as its reader sees it: the answer of the progress query,
// the heartbeat details, and what SignalProgress carries.
type Progress struct {
	Phase  string `json:"phase"`
	Detail string `json:"detail,omitempty"` // what is being done just now, in words

	Epoch        int     `json:"epoch,omitempty"` // 1 is the first
	Epochs       int     `json:"epochs,omitempty"`
	Step         int     `json:"step,omitempty"` // of the whole run
	Steps        int     `json:"steps,omitempty"`
	Loss         float64 `json:"loss,omitempty"`     // of the newest step
	ValLoss      float64 `json:"val_loss,omitempty"` // newest measured; 0: none yet
	LearningRate float64 `json:"learning_rate,omitempty"`
	GradNorm     float64 `json:"grad_norm,omitempty"`
	TokensPerSec float64 `json:"tokens_per_second,omitempty"`
	SecondsLeft  float64 `json:"seconds_left,omitempty"` // of training

	Checkpoint       string    `json:"checkpoint,omitempty"`
	CheckpointDigest string    `json:"checkpoint_digest,omitempty"`
	CheckpointAt     time.Time `json:"checkpoint_at,omitzero"`

	// Done of Total samples, in phases that count them.
	Done  int `json:"done,omitempty"`
	Total int `json:"total,omitempty"`

	GPU *GPU `json:"gpu,omitempty"` // nil on the CPU

	At time.Time `json:"at,omitzero"`

	// Control, filled in by the workflow.
	Paused   bool   `json:"paused,omitempty"`
	Why      string `json:"why,omitempty"`
	Stopping bool   `json:"stopping,omitempty"`
	Verdict  string `json:"verdict,omitempty"`
}

// GPU is what the device is doing just now; the report has more.
type GPU struct {
	MemoryUsedBytes    uint64 `json:"memory_used_bytes"`
	MemoryTotalBytes   uint64 `json:"memory_total_bytes"`
	UtilizationPercent *int   `json:"utilization_percent,omitempty"` // nil: the driver does not tell
	PowerWatts         *int   `json:"power_watts,omitempty"`
}
