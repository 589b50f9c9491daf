package checkpoint

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"so8t/disk"
	"so8t/engine/safetensors"
)

// Save commits state and rotates. When it returns without an error, the
// checkpoint survives a power cut. When it returns an error, earlier checkpoints are as they were and
// nothing of the attempt is left, unless the very last step failed, the sync of
// the folder. A failed deletion is logged, not returned: the save itself holds. Save waits for a running background
// save; a waiting one is dropped unless it is further on than state. State is released in any case.
func (s *Store) Save(ctx context.Context, state *State, reason string) (Info, error) {
	s.behind.drop(state.Position)
	return s.saveAndRotate(ctx, state, reason)
}

func (s *Store) saveAndRotate(ctx context.Context, state *State, reason string) (Info, error) {
	s.commits.Lock()
	defer s.commits.Unlock()
	info, err := s.save(ctx, state, reason)
	state.release() // rotation may take long
	if err != nil {
		// Without the lease another writer may have removed the files: report the cause, not the symptom.
		if lost := s.lease.Check(); errors.Is(lost, disk.ErrLeaseLost) {
			err = lost
		}
		return Info{}, fmt.Errorf("save %s: %w", s.folder(state.Position), err)
	}
	if err := s.rotate(ctx); err != nil {
		s.log.Warn("old checkpoints are not removed", "dir", s.dir, "error", err)
	}
	return info, nil
}

func (s *Store) save(ctx context.Context, state *State, reason string) (Info, error) {
	if state.Identity != (Identity{}) && state.Identity != s.id {
		return Info{}, &IdentityError{Dir: s.dir, Have: state.Identity, Want: s.id}
	}
	if err := s.lease.Check(); err != nil {
		return Info{}, err
	}
	temp, err := os.MkdirTemp(s.dir, savingPrefix+"*")
	if err != nil {
		return Info{}, err
	}
	defer os.RemoveAll(temp) // finds nothing once temp is renamed
	if err := os.Chmod(temp, 0o755); err != nil {
		return Info{}, err
	}
	disk.Crash("checkpoint.temp_created")

	m := &manifest{Format: formatVersion, Identity: s.id, Position: state.Position, Reason: reason, SavedAt: time.Now().UTC(),
		Version: s.version, Versions: s.versions}
	if !slices.Contains(m.Versions, s.version) {
		m.Versions = append(slices.Clip(m.Versions), s.version)
	}
	if err := writeState(ctx, temp, state, m); err != nil {
		return Info{}, err
	}
	final := s.folder(state.Position)
	former, err := readManifest(final)
	if err == nil && former.Identity != s.id {
		return Info{}, &IdentityError{Dir: final, Have: former.Identity, Want: s.id}
	}
	if err == nil && former.sameContent(m) && former.verify(ctx, final) == nil {
		return former.info(final), nil
	}
	if err := writeManifest(ctx, temp, m); err != nil {
		return Info{}, err
	}
	if err := disk.SyncDir(temp); err != nil {
		return Info{}, err
	}
	disk.Crash("checkpoint.before_rename")
	if err := s.lease.During(func() error { return s.commit(temp, final) }); err != nil {
		return Info{}, err
	}
	disk.Crash("checkpoint.after_sync")
	return m.info(final), nil
}

// writeState writes the state's files into dir and enters them in m.
func writeState(ctx context.Context, dir string, state *State, m *manifest) error {
	sum, err := writeFile(ctx, dir, stateName, func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 1<<20) // many tensors are small
		if err := safetensors.Write(&halfway{w: b, left: stateBytes(state) / 2}, state.Tensors, nil); err != nil {
			return err
		}
		return b.Flush()
	})
	if err != nil {
		return err
	}
	m.Files = append(m.Files, sum)
	metrics := state.Metrics
	if metrics == nil {
		metrics = json.RawMessage("null")
	}
	if !json.Valid(metrics) {
		return fmt.Errorf("write %s: not JSON: %.40q", metricsName, metrics)
	}
	sum, err = writeFile(ctx, dir, metricsName, func(w io.Writer) error {
		_, err := w.Write(metrics)
		return err
	})
	m.Files = append(m.Files, sum)
	return err
}

func stateBytes(state *State) (n int64) {
	for _, t := range state.Tensors {
		size, _ := t.Spec().Bytes() // Write refuses a wrong shape
		n += size
	}
	return n
}

func writeManifest(ctx context.Context, dir string, m *manifest) error {
	text, err := m.encode()
	if err != nil {
		return err
	}
	disk.Crash("checkpoint.before_manifest")
	_, err = writeFile(ctx, dir, manifestName, func(w io.Writer) error {
		half := len(text) / 2
		if _, err := w.Write(text[:half]); err != nil {
			return err
		}
		disk.Crash("checkpoint.half_manifest")
		_, err := w.Write(text[half:])
		return err
	})
	return err
}

// commit puts temp in its place, durably. A former save at the same place steps
// aside first, and back again if temp does not follow.
func (s *Store) commit(temp, final string) error {
	aside := filepath.Join(s.dir, replacedPrefix+filepath.Base(final))
	replaces := true
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	err := os.Rename(final, aside)
	if errors.Is(err, fs.ErrNotExist) {
		replaces, err = false, nil
	}
	if err != nil {
		return err
	}
	if replaces {
		disk.Crash("checkpoint.between_renames")
	}
	if err := os.Rename(temp, final); err != nil {
		if replaces {
			err = errors.Join(err, os.Rename(aside, final))
		}
		return err
	}
	disk.Crash("checkpoint.after_rename")
	if err := disk.SyncDir(s.dir); err != nil {
		return err
	}
	if replaces {
		if err := s.discard(aside); err != nil { // the save holds all the same
			s.log.Warn("replaced checkpoint is not removed", "path", aside, "error", err)
		}
	}
	return nil
}

// halfway passes writes on, and reaches a crash point once left bytes have gone through.
type halfway struct {
	w    io.Writer
	left int64
}

func (h *halfway) Write(p []byte) (int, error) {
	before := h.left
	if h.left -= int64(len(p)); before > 0 && h.left <= 0 {
		disk.Crash("checkpoint.half_state")
	}
	return h.w.Write(p)
}
