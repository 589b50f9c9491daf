package rundir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"so8t/configs"
	"so8t/contract"
	"so8t/disk"
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
	// Night is nil for a plain run, also for one that continued a night: no later night removes its directory.
	Night *contract.Night `json:"night,omitempty"`
}

// Running asks the Temporal server whether a workflow is still running.
type Running func(ctx context.Context, workflowID string) (bool, error)

// InUseError says that the directory's owner is still running.
type InUseError struct {
	Dir   string
	Owner Owner
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("output_dir %s is in use by workflow %s, running on host %s since %s; choose another output_dir, or wait",
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

// Take makes run the owner of run.OutputDir. It returns the id that the directory's checkpoints carry, which
// is an earlier workflow's if run continues that one. The error is an *InUseError or a *disk.HeldError while
// another run works there, an *OtherRunError if the results there have other inputs, and a *DirError if the
// directory cannot be used.
func Take(ctx context.Context, run contract.Run, running Running) (checkpointID string, err error) {
	if err := disk.MakeDir(run.OutputDir); err != nil {
		return "", dirError("output_dir: %w", err)
	}
	return take(ctx, run, running, false)
}

// Revisit is Take for a workflow that evaluates or compares the model of an earlier run: there must be one of
// the same inputs, and it stays the owner.
func Revisit(ctx context.Context, run contract.Run, running Running) (checkpointID string, err error) {
	return take(ctx, run, running, true)
}

func take(ctx context.Context, run contract.Run, running Running, revisit bool) (checkpointID string, err error) {
	l := Layout(run.OutputDir)
	unlock, err := disk.Lock(ctx, l.ownerLock())
	if err != nil {
		return "", dirError("output_dir: lock: %w", err)
	}
	defer unlock()

	now := Owner{WorkflowID: run.WorkflowID, Origin: run.WorkflowID, Host: run.Host, InputPath: run.InputPath,
		BaseDigest: run.BaseDigest, Since: time.Now().UTC(), Config: run.Config, Night: run.Night}
	before, err := l.readOwner()
	switch {
	case errors.Is(err, fs.ErrNotExist) && revisit:
		return "", dirError("output_dir %s holds no run: run Retrain with this config first", run.OutputDir)
	case errors.Is(err, fs.ErrNotExist):
		return now.Origin, l.writeOwner(now)
	case err != nil:
		return "", &DirError{err}
	}
	if before.WorkflowID != run.WorkflowID {
		if err := l.free(ctx, before, run.WorkflowID, running); err != nil {
			return "", err
		}
	}
	differences := before.differences(now)
	switch {
	case len(differences) == 0:
		now.Origin = before.Origin
	case revisit || l.trained():
		return "", &OtherRunError{run.OutputDir, before.WorkflowID, differences}
	}
	if revisit {
		return now.Origin, nil
	}
	return now.Origin, l.writeOwner(now)
}

// free returns nil once another workflow may take the directory from its owner.
func (l Layout) free(ctx context.Context, o Owner, forWorkflow string, running Running) error {
	if err := l.ended(ctx, o, running); err != nil {
		return err
	}
	// Ask the lease too: the owner's worker may know another server, or not know yet that its workflow ended.
	return disk.AwaitFree(ctx, l.Checkpoints(), forWorkflow)
}

// ended is nil if the owner's workflow no longer runs.
func (l Layout) ended(ctx context.Context, o Owner, running Running) error {
	still, err := running(ctx, o.WorkflowID)
	if err != nil {
		return fmt.Errorf("ask whether workflow %s still runs: %w", o.WorkflowID, err)
	}
	if still {
		return &InUseError{string(l), o}
	}
	return nil
}

// differences lists the inputs for which two runs would train different weights. Datasets are compared later,
// by their digest.
func (o Owner) differences(now Owner) []string {
	var list []string
	if o.BaseDigest != now.BaseDigest {
		list = append(list, fmt.Sprintf("base model %.12s there, %.12s here", o.BaseDigest, now.BaseDigest))
	}
	if o.Config.TrainingDigest() != now.Config.TrainingDigest() {
		list = append(list, configDifferences(reflect.ValueOf(o.Config), reflect.ValueOf(now.Config), "")...)
	}
	return list
}

func configDifferences(a, b reflect.Value, at string) (list []string) {
	for i := range a.NumField() {
		key := strings.TrimPrefix(at+"."+a.Type().Field(i).Tag.Get("json"), ".")
		x, y := a.Field(i), b.Field(i)
		switch {
		case x.Kind() == reflect.Struct:
			list = append(list, configDifferences(x, y, key)...)
		case key != "output_dir" && !reflect.DeepEqual(x.Interface(), y.Interface()):
			list = append(list, fmt.Sprintf("%s is %v there, %v here", key, x, y))
		}
	}
	return list
}

// trained reports whether the directory holds results that took time to compute.
func (l Layout) trained() bool {
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
