package rundir

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"so8t/configs"
	"so8t/contract"
	"so8t/device"
	"so8t/disk"
	"so8t/version"
)

// Owner is run.json: the run that an output directory belongs to, and the inputs of what lies there.
type Owner struct {
	WorkflowID string         `json:"workflow_id"`
	Origin     string         `json:"origin"` // workflow that began the run; its checkpoints carry this id
	Host       string         `json:"host"`
	InputPath  string         `json:"input_path"`
	BaseDigest string         `json:"base_digest"`
	Since      time.Time      `json:"since"`
	Config     configs.Config `json:"config"`
	// Device is what Config.Device resolved to; zero in directories taken by a version that did not note it.
	Device device.Device `json:"device,omitzero"`
	// CheckpointConfig is contract.Run's.
	CheckpointConfig string `json:"checkpoint_config,omitempty"`
	// Version is the program that took the directory.
	Version version.Version `json:"version,omitzero"`
	// Night is nil for a plain run, also for one that continued a night: no later night removes its directory.
	Night *contract.Night `json:"night,omitempty"`
}

// Running asks the Temporal server about a workflow.
type Running func(ctx context.Context, workflowID string) (Status, error)

// Status is what a Temporal server says of a workflow. One that it does not know ended long ago, or is another server's.
type Status int

const (
	Unknown Status = iota
	Runs
	Ended
)

// InUseError says that the directory's owner is still running.
type InUseError struct {
	Dir   string
	Owner Owner
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("output_dir %s is in use by workflow %s, running on host %s since %s; choose another output_dir, or wait",
		e.Dir, e.Owner.WorkflowID, e.Owner.Host, e.Owner.Since.Format(time.RFC3339))
}

// TakenOverError says that another run became the directory's owner while this one, which some Temporal server still
// counts as running, did not work there.
type TakenOverError struct {
	Dir   string
	Owner Owner
}

func (e *TakenOverError) Error() string {
	return fmt.Sprintf("output_dir %s was taken over by workflow %s on host %s at %s; this run has ended there",
		e.Dir, e.Owner.WorkflowID, e.Owner.Host, e.Owner.Since.Format(time.RFC3339))
}

// OtherRunError says that the directory holds a model with other inputs.
type OtherRunError struct {
	Dir         string
	WorkflowID  string   // of that run
	Differences []string // key by key
}

func (e *OtherRunError) Error() string {
	return fmt.Sprintf("output_dir %s holds a run of workflow %s that differs: %s; choose another output_dir, or remove that one",
		e.Dir, e.WorkflowID, strings.Join(e.Differences, "; "))
}

// Take makes run the owner of run.OutputDir. It returns the run with what the directory's checkpoints carry, which
// is an earlier workflow's if run continues that one. The error is an *InUseError or a *disk.HeldError while
// another run works there, an *OtherRunError if the results there have other inputs, and a *DirError if the
// directory cannot be used.
func Take(ctx context.Context, run contract.Run, running Running) (contract.Run, error) {
	if err := disk.MakeDir(run.OutputDir); err != nil {
		return run, dirError("output_dir: %w", err)
	}
	return take(ctx, run, running, false)
}

// Revisit is Take for a workflow that evaluates or compares the model of an earlier run: there must be one of
// the same inputs, and it stays the owner.
func Revisit(ctx context.Context, run contract.Run, running Running) (contract.Run, error) {
	return take(ctx, run, running, true)
}

func take(ctx context.Context, run contract.Run, running Running, revisit bool) (contract.Run, error) {
	l := Layout(run.OutputDir)
	unlock, err := disk.Lock(ctx, l.ownerLock())
	if err != nil {
		return run, dirError("output_dir: lock: %w", err)
	}
	defer unlock()

	now := Owner{WorkflowID: run.WorkflowID, Origin: run.WorkflowID, Host: run.Host, InputPath: run.InputPath,
		BaseDigest: run.BaseDigest, Since: time.Now().UTC(), Config: run.Config, Device: run.Device, Version: version.Current(), Night: run.Night}
	before, err := l.readOwner()
	switch {
	case errors.Is(err, fs.ErrNotExist) && revisit:
		return run, dirError("output_dir %s holds no run: run Retrain with this config first", run.OutputDir)
	case errors.Is(err, fs.ErrNotExist):
		return now.owned(run), l.writeOwner(now)
	case err != nil:
		return run, &DirError{err}
	}
	if before.WorkflowID != run.WorkflowID {
		release, err := l.free(ctx, before, run, running)
		if err != nil {
			return run, err
		}
		defer release()
	}
	differences := before.differences(now)
	switch {
	case len(differences) == 0:
		now.continues(before)
	case revisit || l.Trained():
		return run, &OtherRunError{run.OutputDir, before.WorkflowID, differences}
	}
	if revisit {
		return now.checkpoints(run), nil
	}
	return now.owned(run), l.writeOwner(now)
}

// continues makes o the next owner of what an earlier one has trained.
func (o *Owner) continues(before Owner) {
	o.Origin = before.Origin
	o.CheckpointConfig = cmp.Or(before.CheckpointConfig, before.Config.TrainingDigest())
	if o.CheckpointConfig == o.Config.TrainingDigest() {
		o.CheckpointConfig = ""
	}
}

// owned is the run once o stands in run.json.
func (o *Owner) owned(run contract.Run) contract.Run {
	run.Owns = true
	return o.checkpoints(run)
}

// checkpoints is the run with what its checkpoints carry.
func (o *Owner) checkpoints(run contract.Run) contract.Run {
	run.CheckpointID, run.CheckpointConfig = o.Origin, o.CheckpointConfig
	return run
}

// free waits until another run may take the directory from its owner, and keeps the owner out until it is released.
func (l Layout) free(ctx context.Context, o Owner, run contract.Run, running Running) (release func(), err error) {
	if err := l.ended(ctx, o, run.WorkflowID, running); err != nil {
		return nil, err
	}
	lease, err := disk.AcquireLease(ctx, l.Checkpoints(), Claimant(run, time.Now().UnixMicro()))
	return func() { _ = lease.Release() }, err
}

// ended waits until the owner no longer works in the directory, as far as another workflow can know.
func (l Layout) ended(ctx context.Context, o Owner, forWorkflow string, running Running) error {
	status, err := Ended, error(nil)
	if o.WorkflowID != forWorkflow { // an id has one run at a time: this one, which works elsewhere
		status, err = running(ctx, o.WorkflowID)
	}
	switch {
	case err != nil:
		return fmt.Errorf("ask whether workflow %s still runs: %w", o.WorkflowID, err)
	case status == Runs:
		return &InUseError{string(l), o}
	case status == Ended: // its worker may not know yet
		return disk.AwaitFree(ctx, l.Checkpoints(), forWorkflow)
	}
	// Another server's run holds no lease between two activities.
	return disk.AwaitSilence(ctx, l.Checkpoints(), forWorkflow, o.Config.Checkpoint.HeartbeatTimeout())
}

// takenFrom is a *TakenOverError if run owned the directory and no longer does. Who removes run.json takes nothing over.
func (l Layout) takenFrom(run contract.Run) error {
	o, err := l.readOwner()
	switch {
	case !run.Owns || errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &DirError{err}
	case o.WorkflowID != run.WorkflowID:
		return &TakenOverError{string(l), o}
	}
	return nil
}

// differences lists the inputs for which two runs train different weights, by key with both values. Datasets are
// compared by their contents, elsewhere.
func (o Owner) differences(now Owner) []string {
	var list []string
	if o.BaseDigest != now.BaseDigest {
		list = append(list, fmt.Sprintf("base model is %s (digest %.12s) there, %s (%.12s) here",
			o.Config.Model.BaseModelPath, o.BaseDigest, now.Config.Model.BaseModelPath, now.BaseDigest))
	}
	for _, d := range now.Config.Differences(now.Device, &o.Config, o.Device) {
		list = append(list, fmt.Sprintf("%s is %s there, %s here", d.Key, d.Theirs, d.Ours))
	}
	return list
}

// Trained reports whether the directory holds results that took time to compute.
func (l Layout) Trained() bool {
	for _, pattern := range []string{l.Checkpoint("checkpoint_*"), filepath.Join(l.FinalModel(), "*")} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return true
		}
	}
	return false
}

func (l Layout) readOwner() (o Owner, err error) {
	text, err := os.ReadFile(l.owner())
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return o, fmt.Errorf("%s: %w", l.owner(), err)
	}
	return o, nil
}

func (l Layout) writeOwner(o Owner) error {
	if err := disk.ReplaceJSON(l.owner(), o); err != nil {
		return &DirError{err}
	}
	return nil
}
