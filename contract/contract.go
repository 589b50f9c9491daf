// Package contract is what crosses the border between workflows and activities, and
// between them and whoever starts, watches or steers a run: types and names, no behaviour
// beyond reading an input strictly.
package contract

// TaskQueue takes workflows and the activities that any worker can do.
const TaskQueue = "retrain"

// DeviceQueue is served by one host, one activity at a time: training, evaluation, export.
// They run where the files are.
func DeviceQueue(host string) string { return "retrain-device@" + host }

// HostQueue is served by one host, beside its device's queue: what must not wait for the
// activity that is training there.
func HostQueue(host string) string { return "retrain-host@" + host }

// Activities, by the names they are registered under.
const (
	Claim    = "Claim"    // shared queue: resolve the config, check the inputs, take the output directory
	Split    = "Split"    // host queue: JSONL to train, validation and test
	Train    = "Train"    // device queue: one epoch
	Export   = "Export"   // device queue: adapters, merged model, metadata
	Evaluate = "Evaluate" // device queue: one model on the test part
	Compare  = "Compare"  // host queue: paired tests, report, promotion
	SaveNow  = "SaveNow"  // host queue: a checkpoint of the epoch that runs in this process
)

// Queries, updates and signals of a run. The four verbs are updates, which answer, and
// signals, which the Web UI can send with a click.
const (
	QueryProgress  = "progress"
	VerbPause      = "pause"
	VerbResume     = "resume"
	VerbCheckpoint = "checkpoint"
	VerbStop       = "stop"
	// SignalProgress carries a Progress from an activity to its workflow, at a bounded rate.
	SignalProgress = "training-progress"
)

// Error types. Those of Fatal end the workflow: its input must change. Those of NeedsPerson
// pause it: something outside must change, and resume goes on.
const (
	ErrConfig      = "ConfigError"
	ErrData        = "DataError"
	ErrModel       = "ModelError"
	ErrOutputInUse = "OutputInUse"
	ErrOutputOther = "OutputOfAnotherRun"
	ErrEvaluation  = "EvaluationError"
	ErrDiverged    = "Diverged" // would diverge again: a run is a function of its inputs

	ErrDiskFull    = "DiskFull"
	ErrDisk        = "DiskError" // it fails, or has become read-only
	ErrMemory      = "OutOfMemory"
	ErrDevice      = "DeviceError" // there is none, or it, its driver or its libraries fail
	ErrDeviceInUse = "DeviceInUse" // another run's process has the GPU
	ErrNoProgress  = "NoProgress"

	ErrLeaseLost   = "LeaseLost"   // another attempt owns the work: this one may not write
	ErrShutdown    = "WorkerStops" // benign: the next worker goes on
	ErrNotTraining = "NotTraining" // SaveNow: no epoch runs in this process at present
)

// Fatal lists the error types that end a run.
func Fatal() []string {
	return []string{ErrConfig, ErrData, ErrModel, ErrOutputInUse, ErrOutputOther, ErrEvaluation, ErrDiverged}
}

// NeedsPerson lists the error types after which a run waits for resume.
func NeedsPerson() []string {
	return []string{ErrDiskFull, ErrDisk, ErrMemory, ErrDevice, ErrDeviceInUse, ErrNoProgress}
}

// Search attributes, all keywords. The worker adds them where the server lets it.
const (
	AttrBaseModel = "So8tBaseModel"
	AttrDataset   = "So8tDataset"
	AttrPhase     = "So8tPhase"
	AttrVerdict   = "So8tVerdict"
)

// SearchAttributes lists their names.
func SearchAttributes() []string {
	return []string{AttrBaseModel, AttrDataset, AttrPhase, AttrVerdict}
}
