package activities

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

	"github.com/gofrs/flock"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"so8t/configs"
	"so8t/contract"
	"so8t/disk"
)

// owner is run.json of an output directory: whose it is, and what its contents come from.
type owner struct {
	WorkflowID string         `json:"workflow_id"`
	Origin     string         `json:"origin"` // the workflow that began it: its checkpoints carry this id
	Host       string         `json:"host"`
	InputPath  string         `json:"input_path"`
	BaseDigest string         `json:"base_digest"`
	Since      time.Time      `json:"since"`
	Config     configs.Config `json:"config"`
	// Night is nil where a plain run works, or has gone on with what a night left: no later night removes that.
	Night *contract.Night `json:"night,omitempty"`
}

const ownerName = "run.json"

// take makes the run the owner of its output directory, or says why it cannot: another
// run is at work there, or what lies there comes from another configuration. It returns
// the id under which the directory's checkpoints are kept.
func (a *Activities) take(ctx context.Context, run contract.Run, existing bool) (origin string, err error) {
	if !existing {
		if err := disk.MakeDir(run.OutputDir); err != nil {
			return "", fail(contract.ErrConfig, fmt.Errorf("output_dir: %w", err))
		}
	}
	guard := flock.New(filepath.Join(run.OutputDir, ".owner"))
	if _, err := guard.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return "", fail(contract.ErrConfig, fmt.Errorf("output_dir: lock: %w", err))
	}
	defer guard.Close()

	now := owner{WorkflowID: run.WorkflowID, Origin: run.WorkflowID, Host: a.Host, InputPath: run.InputPath,
		BaseDigest: run.BaseDigest, Since: time.Now().UTC(), Config: run.Config, Night: run.Night}
	before, err := readOwner(run.OutputDir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && existing:
		return "", fail(contract.ErrConfig, fmt.Errorf("output_dir %s holds no run: run Retrain with this config first", run.OutputDir))
	case errors.Is(err, fs.ErrNotExist):
		return now.Origin, now.write(run.OutputDir)
	case err != nil:
		return "", fail(contract.ErrConfig, err)
	}
	if before.WorkflowID != run.WorkflowID {
		if err := a.left(ctx, before, run.OutputDir); err != nil {
			return "", err
		}
		// The server may not be the one that the owner's worker knows, or that worker not know yet.
		var held *disk.HeldError
		if err := disk.AwaitFree(ctx, filepath.Join(run.OutputDir, "checkpoints"), run.WorkflowID); errors.As(err, &held) {
			return "", fail(contract.ErrOutputInUse, err)
		} else if err != nil {
			return "", err
		}
	}
	if differences := before.differences(now); len(differences) > 0 && (existing || trained(run.OutputDir)) {
		return "", temporal.NewNonRetryableApplicationError(fmt.Sprintf(
			"output_dir %s holds a run of workflow %s that differs: %s; choose another output_dir, or remove that one",
			run.OutputDir, before.WorkflowID, strings.Join(differences, "; ")), contract.ErrOutputOther, nil)
	} else if len(differences) == 0 {
		now.Origin = before.Origin
	}
	if existing {
		return now.Origin, nil
	}
	return now.Origin, now.write(run.OutputDir)
}

// left asks the server whether the directory's owner has ended.
func (a *Activities) left(ctx context.Context, o owner, dir string) error {
	answer, err := a.Temporal.DescribeWorkflowExecution(ctx, o.WorkflowID, "")
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask whether workflow %s still runs: %w", o.WorkflowID, err)
	}
	if answer.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return nil
	}
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf(
		"output_dir %s is in use by workflow %s, running on host %s since %s; choose another output_dir, or wait",
		dir, o.WorkflowID, o.Host, o.Since.Format(time.RFC3339)), contract.ErrOutputInUse, nil)
}

// differences names what makes two runs' weights differ, key by key. Two datasets are told
// apart by their contents, once split.
func (o owner) differences(now owner) []string {
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
		name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
		key := strings.TrimPrefix(at+"."+name, ".")
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

// trained reports whether the directory holds anything that took time to make.
func trained(dir string) bool {
	for _, pattern := range []string{"checkpoints/checkpoint_*", "final_model/*"} {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) > 0 {
			return true
		}
	}
	return false
}

func readOwner(dir string) (o owner, err error) {
	text, err := os.ReadFile(filepath.Join(dir, ownerName))
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return o, fmt.Errorf("%s: %w", filepath.Join(dir, ownerName), err)
	}
	return o, nil
}

func (o owner) write(dir string) error {
	return fail(contract.ErrConfig, disk.ReplaceJSON(filepath.Join(dir, ownerName), o))
}
