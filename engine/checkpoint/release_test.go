package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readState is testState with tensors that are read while they are written, and a count of its releases.
func readState(step int) (*State, *int) {
	s, released := testState(step), 0
	for i := range s.Tensors {
		s.Tensors[i].From, s.Tensors[i].Data = bytes.NewReader(s.Tensors[i].Data), nil
	}
	s.Release = func() { released++ }
	return s, &released
}

// TestReadStatesAreTheSameFiles: where the elements stand shows in no byte.
func TestReadStatesAreTheSameFiles(t *testing.T) {
	s, other := openStore(t, memoryDir(t), Options{}), openStore(t, memoryDir(t), Options{})
	state, released := readState(3)
	info, err := s.Save(t.Context(), state, "test")
	if err != nil || *released != 1 {
		t.Fatalf("released %d times, %v", *released, err)
	}
	wantLatest(t, s, 3)
	a, errA := os.ReadFile(filepath.Join(info.Dir, stateName))
	b, errB := os.ReadFile(filepath.Join(mustSave(t, other, 3).Dir, stateName))
	if err := errors.Join(errA, errB); err != nil || !bytes.Equal(a, b) {
		t.Errorf("the files differ (%v)", err)
	}
}

// TestEveryStateIsReleasedOnce: written, overtaken, dropped or refused.
func TestEveryStateIsReleasedOnce(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{})
	s.commits.Lock() // the disk is slow
	var counts []*int
	for step := 1; step <= 4; step++ {
		state, released := readState(step)
		counts = append(counts, released)
		if err := s.SaveBehind(state, "interval"); err != nil {
			t.Fatal(err)
		}
		for step == 1 && queued(s) {
		}
	}
	for i, want := range []int{0, 1, 1, 0} { // 1 is with the writer, 4 waits
		if *counts[i] != want {
			t.Errorf("step %d was released %d times before anything was written", i+1, *counts[i])
		}
	}
	s.commits.Unlock()
	if err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	s.behind.writing = true // no writer comes for the one that waits
	dropped, released := readState(5)
	counts = append(counts, released)
	s.SaveBehind(dropped, "interval")
	mustSave(t, s, 6)
	refused, released := readState(7)
	counts = append(counts, released)
	refused.Metrics = []byte("{")
	if _, err := s.Save(t.Context(), refused, "test"); err == nil {
		t.Error("metrics that are no JSON were saved")
	}
	for i, released := range counts {
		if *released != 1 {
			t.Errorf("state %d was released %d times", i+1, *released)
		}
	}
}

// failing reads as a model does that was closed.
type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("the model is closed") }

func TestSaveOfWhatCannotBeRead(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{})
	mustSave(t, s, 1)
	state, released := readState(2)
	state.Tensors[1].From = failing{}
	if _, err := s.Save(t.Context(), state, "test"); err == nil || !strings.Contains(err.Error(), "the model is closed") || *released != 1 {
		t.Errorf("saved with %v, released %d times", err, *released)
	}
	if got := listing(t, s.dir); len(got) != 1 {
		t.Errorf("folder holds %v", got)
	}
	wantLatest(t, s, 1)
}
