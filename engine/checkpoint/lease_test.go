package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"so8t/disk"
)

func TestALateAttemptChangesNothing(t *testing.T) {
	dir := filepath.Join(memoryDir(t), "checkpoints")
	first := acquire(t, dir, "borea", 1)
	s := openStore(t, dir, Options{Lease: first})
	mustSave(t, s, 1)

	second := acquire(t, dir, "borea", 2)
	if _, err := s.Save(t.Context(), testState(2), "late"); !errors.Is(err, disk.ErrLeaseLost) {
		t.Errorf("late first attempt saved: %v", err)
	}
	if err := s.Discard(); !errors.Is(err, disk.ErrLeaseLost) {
		t.Errorf("late first attempt discarded: %v", err)
	}
	if got := listing(t, dir); len(got) != 1 {
		t.Errorf("late first attempt left %v", got)
	}
	mustSave(t, openStore(t, dir, Options{Lease: second}), 2)
}

// The lease can go while a save is under way: the commit must see it.
func TestLeaseLostDuringSave(t *testing.T) {
	dir := memoryDir(t)
	s := openStore(t, dir, Options{Lease: acquire(t, dir, "borea", 1)})
	temp := filepath.Join(dir, savingPrefix+"x")
	os.Mkdir(temp, 0o755)
	acquire(t, dir, "borea", 2)
	err := s.lease.During(func() error { return s.commit(temp, s.folder(Position{Epoch: 1, Step: 1})) })
	if !errors.Is(err, disk.ErrLeaseLost) {
		t.Errorf("committed without a lease: %v", err)
	}
	if _, err := OpenStore(dir, testID, Options{Lease: s.lease}); !errors.Is(err, disk.ErrLeaseLost) {
		t.Errorf("cleaned up without a lease: %v", err)
	}
}
