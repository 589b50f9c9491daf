// Package contract holds the types and names that workflows, activities and the clients of a run
// share. It has no behaviour but to read an input strictly, and to name things.
package contract

import "so8t/device"

// TaskQueue is for workflows and for the activities that any worker can run.
const TaskQueue = "retrain"

// DeviceQueue is polled by one host, which holds the run's files, for one of its devices, and runs one activity at a
// time: training, evaluation, export. The CPU and the first GPU share a queue, so that a host with at most one GPU has
// a single device queue.
func DeviceQueue(host string, d device.Device) string {
	if d.Ordinal == 0 {
		return "retrain-device@" + host
	}
	return "retrain-device@" + host + "/" + d.String()
}

// HostQueue is polled by the same host, for activities that must not wait until its device is free.
func HostQueue(host string) string { return "retrain-host@" + host }

// Names under which activities are registered.
const (
	Claim    = "Claim"    // shared queue: resolve the config, check the inputs, take the output directory
	Split    = "Split"    // host queue: JSONL to train, validation and test
	Train    = "Train"    // device queue: one epoch
	Export   = "Export"   // device queue: adapters, merged model, metadata
	Evaluate = "Evaluate" // device queue: one model on the test part
	Compare  = "Compare"  // host queue: paired tests, report, promotion
	SaveNow  = "SaveNow"  // host queue: a checkpoint of the epoch that this process trains
)

// Queries, updates and signals of a run. Each of the four verbs is an update, which has a result, and a
// signal, which the Web UI can send with a click.
const (
	QueryProgress  = "progress"
	VerbPause      = "pause"
	VerbResume     = "resume"
	VerbCheckpoint = "checkpoint"
	VerbStop       = "stop"
	// SignalProgress sends a Progress from an activity to its workflow, at a bounded rate.
	SignalProgress = "training-progress"
)

// Error types. Those of Fatal end the workflow, since its input must change. Those of NeedsPerson
// pause it until something outside has changed and a person resumes it.
const (
	ErrConfig      = "ConfigError"
	ErrData        = "DataError"
	ErrModel       = "ModelError"
	ErrOutputInUse = "OutputInUse"
	ErrOutputOther = "OutputOfAnotherRun"
	ErrEvaluation  = "EvaluationError"
	ErrDiverged    = "Diverged" // a retry would diverge again, as a run is a function of its inputs

	ErrDiskFull    = "DiskFull"
	ErrDisk        = "DiskError" // the disk fails, or has become read-only
	ErrMemory      = "OutOfMemory"
	ErrDevice      = "DeviceError" // there is no GPU, or it, its driver or its libraries fail
	ErrDeviceInUse = "DeviceInUse" // another process holds the GPU
	ErrNoProgress  = "NoProgress"

	ErrLeaseLost   = "LeaseLost"   // another attempt holds the output directory: this one may not write
	ErrShutdown    = "WorkerStops" // benign: the next worker continues
	ErrNotTraining = "NotTraining" // SaveNow: this process trains no epoch of the run
)

// Fatal lists the error types that end a run.
func Fatal() []string {
	return []string{ErrConfig, ErrData, ErrModel, ErrOutputInUse, ErrOutputOther, ErrEvaluation, ErrDiverged}
}

// NeedsPerson lists the error types after which a run waits for resume.
func NeedsPerson() []string {
	return []string{ErrDiskFull, ErrDisk, ErrMemory, ErrDevice, ErrDeviceInUse, ErrNoProgress}
}

// Search attributes, all of type keyword. The worker adds them if the server allows it.
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
