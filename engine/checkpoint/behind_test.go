package checkpoint

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestSaveBehind(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{})
	s.commits.Lock() // the disk is slow
	for step := 1; step <= 4; step++ {
		if err := s.SaveBehind(testState(step), "interval"); err != nil {
			t.Fatal(err)
		}
		for step == 1 && queued(s) {
			// until the writer has taken the first, so that the rest meets a busy one
		}
	}
	if !s.Busy() {
		t.Error("not busy with a save that cannot have ended")
	}
	s.commits.Unlock()
	if err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	if s.Busy() {
		t.Error("busy after Wait")
	}
	want := []string{"checkpoint_epoch_1_step_1", "checkpoint_epoch_1_step_4"} // 2 and 3 were overtaken
	if got := listing(t, s.dir); !slices.Equal(got, want) {
		t.Errorf("folder holds %v", got)
	}
}

func queued(s *Store) bool {
	s.behind.mu.Lock()
	defer s.behind.mu.Unlock()
	return s.behind.next != nil
}

func TestSaveOvertakesWhatWaits(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{})
	s.behind.writing = true // no writer comes for the one that waits
	s.SaveBehind(testState(2), "interval")
	mustSave(t, s, 1)
	if !queued(s) {
		t.Error("a state that is further on was dropped")
	}
	mustSave(t, s, 3)
	if queued(s) {
		t.Error("a state that is overtaken still waits")
	}
}

func TestErrorsBehindAreReportedOnce(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{})
	bad := testState(1)
	bad.Metrics = []byte("{")
	s.SaveBehind(bad, "interval")
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "not JSON") {
		t.Errorf("Wait: %v", err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("reported twice: %v", err)
	}
	s.SaveBehind(bad, "interval")
	for s.Busy() {
	}
	if err := s.SaveBehind(testState(2), "interval"); err == nil || !strings.Contains(err.Error(), "not JSON") {
		t.Errorf("next call: %v", err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("the state after an error was not saved: %v", err)
	}
	wantLatest(t, s, 2)
}

func TestConcurrentUse(t *testing.T) {
	dir := memoryDir(t)
	s := openStore(t, dir, Options{MaxCheckpoints: 2, Lease: acquire(t, dir, "run", 1)})
	mustSave(t, s, 1)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 8 {
				step := 2 + worker + 4*i
				if worker%2 == 0 {
					s.SaveBehind(testState(step), "interval")
				} else if _, err := s.Save(t.Context(), testState(step), "test"); err != nil {
					t.Error(err)
				}
				state, _, err := s.Latest(t.Context())
				// Latest may meet a folder that rotation is just deleting, never one that is wrong.
				if err != nil && !errors.Is(err, ErrNone) || err == nil && !sameState(state, testState(state.Step)) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.folder(testState(33).Position)); err != nil {
		t.Error(err) // worker 3's last step, the furthest of all
	}
	if got := listing(t, dir); len(got) != 2 {
		t.Errorf("folder holds %v", got)
	}
}
