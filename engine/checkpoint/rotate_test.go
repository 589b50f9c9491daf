package checkpoint

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestRotationKeepsTheNewest(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{MaxCheckpoints: 3})
	mustSave(t, s, 1, 2, 3, 4, 5)
	want := []string{"checkpoint_epoch_1_step_3", "checkpoint_epoch_1_step_4", "checkpoint_epoch_1_step_5"}
	if got := listing(t, s.dir); !slices.Equal(got, want) {
		t.Errorf("folder holds %v", got)
	}
	wantLatest(t, s, 5)
}

// Whatever subset of the newer checkpoints is damaged, the newest whole one survives.
func TestRotationNeverDeletesTheNewestVerified(t *testing.T) {
	const n = 4
	for damaged := range 1 << n {
		s := openStore(t, memoryDir(t), Options{})
		newestWhole := 0
		for step := 1; step <= n; step++ {
			info := mustSave(t, s, step)
			if damaged>>(step-1)&1 == 1 {
				flip(t, filepath.Join(info.Dir, []string{stateName, manifestName}[step%2]), 400)
			} else {
				newestWhole = step
			}
		}
		s.max = 1
		if err := s.rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if newestWhole == 0 {
			if got := listing(t, s.dir); len(got) != n {
				t.Errorf("nothing verifies, yet only %v are left", got)
			}
			continue
		}
		wantLatest(t, s, newestWhole)
		if got := listing(t, s.dir); len(got) != n-newestWhole+1 {
			t.Errorf("damaged %04b: left %v", damaged, got)
		}
	}
}
