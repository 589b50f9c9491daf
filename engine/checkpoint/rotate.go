package checkpoint

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"so8t/disk"
	"strings"
)

// rotate deletes the oldest checkpoints beyond the allowed number, but nothing
// that is newer than, or is, the newest one whose files verify.
// Those of another run are not counted and not touched.
func (s *Store) rotate(ctx context.Context) error {
	positions, err := s.folders()
	if err != nil || s.max == 0 || len(positions) <= s.max {
		return err
	}
	own := 0
	verified := false
	for _, p := range positions { // newest first
		dir := s.folder(p)
		m, err := readManifest(dir)
		if err == nil && m.Identity != s.id {
			continue
		}
		own++
		if verified && own > s.max {
			if err := s.lease.During(func() error { return s.discard(dir) }); err != nil {
				return err
			}
			continue
		}
		if !verified {
			if err == nil {
				err = m.verify(ctx, dir)
			}
			verified = err == nil
			if err != nil {
				s.log.Warn("checkpoint does not verify; older ones stay", "dir", dir, "error", err)
			}
		}
	}
	return nil
}

// Discard deletes every checkpoint, of any run. The caller must know that the run that wrote
// them is over.
func (s *Store) Discard() error {
	s.commits.Lock()
	defer s.commits.Unlock()
	positions, err := s.folders()
	if err != nil {
		return err
	}
	for i := len(positions) - 1; i >= 0; i-- { // oldest first: a crash leaves the best
		dir := s.folder(positions[i])
		if err := s.lease.During(func() error { return s.discard(dir) }); err != nil {
			return err
		}
	}
	return nil
}

// discard deletes a folder of the store under a hidden name, its manifest first.
func (s *Store) discard(path string) error {
	name := strings.TrimPrefix(filepath.Base(path), replacedPrefix)
	trash := filepath.Join(s.dir, trashPrefix+name)
	if err := os.RemoveAll(trash); err != nil {
		return err
	}
	if err := os.Rename(path, trash); err != nil {
		return err
	}
	if err := disk.SyncDir(s.dir); err != nil {
		return err
	}
	disk.Crash("checkpoint.trash_renamed")
	err := os.Remove(filepath.Join(trash, manifestName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	disk.Crash("checkpoint.half_removed")
	return os.RemoveAll(trash)
}
