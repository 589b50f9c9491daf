package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"so8t/engine/safetensors"
	"so8t/version"
)

// ErrNone says that no usable checkpoint is there.
var ErrNone = errors.New("no checkpoint")

// Identity says which run a checkpoint belongs to, by digests.
type Identity struct {
	WorkflowID string `json:"workflow_id"`
	Config     string `json:"config"`
	Base       string `json:"base"`
	Dataset    string `json:"dataset"`
}

// Position is how far a run has come.
type Position struct {
	Epoch       int `json:"epoch"`
	Step        int `json:"step"`          // optimizer steps done in the whole run
	StepInEpoch int `json:"step_in_epoch"` // optimizer steps done in Epoch
}

// Folder is the name of the checkpoint at p.
func (p Position) Folder() string {
	return fmt.Sprintf("checkpoint_epoch_%d_step_%d", p.Epoch, p.Step)
}

var folderName = regexp.MustCompile(`^checkpoint_epoch_(0|[1-9]\d{0,8})_step_(0|[1-9]\d{0,17})$`)

// parseFolder is the inverse of Position.Folder, which leaves StepInEpoch out.
func parseFolder(name string) (Position, bool) {
	match := folderName.FindStringSubmatch(name)
	if match == nil {
		return Position{}, false
	}
	epoch, _ := strconv.Atoi(match[1])
	step, _ := strconv.Atoi(match[2])
	return Position{Epoch: epoch, Step: step}, true
}

// State is what a run needs in order to go on. It owns its memory; what its tensors are read from (From)
// does not change until Release.
type State struct {
	Identity
	Position
	Metrics json.RawMessage // the trainer's own; any JSON value
	Tensors []safetensors.Named
	Release func() // gives back what the tensors are read from; nil: nothing is to be given back
}

// release gives back what the tensors were read from. It may be called more than once.
func (s *State) release() {
	if s.Release != nil {
		s.Release()
	}
	s.Release = nil
}

// Info describes a checkpoint on disk.
type Info struct {
	Dir string
	Position
	Digest   string // SHA-256 of the manifest, and through it of everything
	Reason   string
	Bytes    int64 // of all files but the manifest
	SavedAt  time.Time
	Version  version.Version   // that computed it
	Versions []version.Version // that took part in the run so far, Version among them
	Rejected []Rejection       // newer ones that Latest could not take
}

// Rejection is a checkpoint that was passed over, and why.
type Rejection struct {
	Dir string
	Err error
}

// DamageError says that a checkpoint is not what was once written.
type DamageError struct {
	Path string
	Err  error
}

func (e *DamageError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Path, e.Err) }
func (e *DamageError) Unwrap() error { return e.Err }

// IdentityError says that a checkpoint belongs to another run, and in what the two differ.
type IdentityError struct {
	Dir        string
	Have, Want Identity
}

func (e *IdentityError) Error() string {
	return fmt.Sprintf("checkpoint %s belongs to another run: %s", e.Dir, strings.Join(e.Differences(), "; "))
}

// Differences lists the parts that differ.
func (e *IdentityError) Differences() []string {
	var list []string
	add := func(part, have, want string) {
		if have != want {
			list = append(list, fmt.Sprintf("its %s is %q, this run's is %q", part, have, want))
		}
	}
	add("workflow id", e.Have.WorkflowID, e.Want.WorkflowID)
	add("config digest", e.Have.Config, e.Want.Config)
	add("base model digest", e.Have.Base, e.Want.Base)
	add("dataset digest", e.Have.Dataset, e.Want.Dataset)
	return list
}
