package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLeaseTakeover(t *testing.T) {
	dir := filepath.Join(memoryDir(t), "checkpoints")
	first := acquire(t, dir, "borea", 1)
	s := openStore(t, dir, Options{Lease: first})
	mustSave(t, s, 1)

	second := acquire(t, dir, "borea", 2)
	if err := first.Check(); !errors.Is(err, ErrLeaseLost) || !strings.Contains(err.Error(), "attempt 2") {
		t.Errorf("late first attempt: %v", err)
	}
	if _, err := s.Save(t.Context(), testState(2), "late"); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("late first attempt saved: %v", err)
	}
	if err := s.Discard(); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("late first attempt discarded: %v", err)
	}
	if got := listing(t, dir); len(got) != 1 {
		t.Errorf("late first attempt left %v", got)
	}
	if err := first.Release(); err != nil || second.Check() != nil {
		t.Errorf("release of a lost lease: %v, %v", err, second.Check())
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
	err := s.lease.during(func() error { return s.commit(temp, s.folder(Position{Epoch: 1, Step: 1})) })
	if !errors.Is(err, ErrLeaseLost) {
		t.Errorf("committed without a lease: %v", err)
	}
	if _, err := OpenStore(dir, testID, Options{Lease: s.lease}); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("cleaned up without a lease: %v", err)
	}
}

func TestLeaseRefusesTheLiving(t *testing.T) {
	dir := memoryDir(t)
	l := acquire(t, dir, "borea", 2)
	for _, c := range []struct {
		owner   string
		attempt int
	}{{"nightly", 9}, {"borea", 2}, {"borea", 1}} {
		_, err := AcquireLease(dir, c.owner, c.attempt)
		var held *HeldError
		if !errors.As(err, &held) || held.Holder.Owner != "borea" || !strings.Contains(err.Error(), `in use by "borea", attempt 2`) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if err := l.Check(); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("after release: %v", err)
	}
	if err := acquire(t, dir, "nightly", 1).Check(); err != nil {
		t.Error(err)
	}
}

func TestLeaseOfTheDead(t *testing.T) {
	for what, text := range map[string]string{
		"another owner":     `{"owner":"borea","attempt":7,"token":"x"}`,
		"cut short":         `{"owner":"bo`,
		"a higher attempt":  `{"owner":"nightly","attempt":7,"token":"x"}`,
		"nothing in a file": ``,
	} {
		dir := memoryDir(t)
		os.WriteFile(filepath.Join(dir, leaseName), []byte(text), 0o644) // nobody has it locked
		l, err := AcquireLease(dir, "nightly", 1)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if err := l.Check(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		l.Release()
	}
}

func TestLeaseFileGone(t *testing.T) {
	dir := memoryDir(t)
	l := acquire(t, dir, "borea", 1)
	os.Remove(filepath.Join(dir, leaseName))
	if err := l.Check(); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("%v", err)
	}
}

func TestOneOfManyGetsTheLease(t *testing.T) {
	dir := memoryDir(t)
	const n = 16
	leases := make(chan *Lease, n)
	for range n {
		go func() {
			l, _ := AcquireLease(dir, "borea", 1)
			leases <- l
		}()
	}
	winners := 0
	for range n {
		if l := <-leases; l != nil {
			winners++
			defer l.Release()
		}
	}
	if winners != 1 {
		t.Errorf("%d hold the lease", winners)
	}
}
