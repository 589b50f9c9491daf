package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestLatestMapped: the same state as Latest's, passing over what is damaged, and refusing what is another run's.
func TestLatestMapped(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	if _, _, err := s.LatestMapped(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("an empty store: %v", err)
	}
	for _, step := range []int{3, 4} {
		if _, err := s.Save(t.Context(), testState(step), "test"); err != nil {
			t.Fatal(err)
		}
	}
	check := func(step, rejected int) {
		t.Helper()
		got, info, err := s.LatestMapped(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want, wanted, err := s.Latest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Step != step || !sameState(want, got) || got.Identity != want.Identity {
			t.Errorf("step %d, want %d; or another state than Latest's", got.Step, step)
		}
		if info.Digest != wanted.Digest || info.Dir != wanted.Dir || len(info.Rejected) != rejected {
			t.Errorf("%+v, Latest says %+v", info, wanted)
		}
		got.Release()
	}
	check(4, 0)
	path := filepath.Join(dir, testState(4).Folder(), stateName)
	state, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	state[len(state)-1] ^= 1 // the last tensor's, which a reader of the first would never see
	if err := os.WriteFile(path, state, 0o644); err != nil {
		t.Fatal(err)
	}
	check(3, 1)
	other := testID
	other.Dataset = "another"
	stranger, err := OpenStore(dir, other, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var identity *IdentityError
	if _, _, err := stranger.LatestMapped(t.Context()); !errors.As(err, &identity) {
		t.Errorf("another run's checkpoint: %v", err)
	}
}
