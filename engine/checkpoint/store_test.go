package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"so8t/disk"
	"so8t/engine/safetensors"
)

var testID = Identity{WorkflowID: "borea-2025-11-08", Config: "c0ffee", Base: "ba5e", Dataset: "da7a"}

// testState is a state whose every byte follows from its step.
func testState(step int) *State {
	tensor := func(name string, n int) safetensors.Named {
		data := make([]byte, 4*n)
		for i := range n {
			binary.LittleEndian.PutUint32(data[4*i:], uint32(step*1000003+i*(len(name)+1)))
		}
		return safetensors.Named{Name: name, Tensor: safetensors.Tensor{DType: safetensors.F32, Shape: []int64{int64(n)}, Data: data}}
	}
	return &State{
		Position: Position{Epoch: 1 + (step-1)/10, Step: step, StepInEpoch: 1 + (step-1)%10},
		Metrics:  json.RawMessage(fmt.Sprintf(`{"step":%d,"loss":0.5}`, step)),
		Tensors:  []safetensors.Named{tensor("lora.a", 3000), tensor("adam.m", 100), tensor("theta", 1)},
	}
}

func sameState(a, b *State) bool {
	if a.Position != b.Position || !bytes.Equal(a.Metrics, b.Metrics) || len(a.Tensors) != len(b.Tensors) {
		return false
	}
	data := map[string][]byte{}
	for _, t := range a.Tensors {
		data[t.Name] = t.Data
	}
	return !slices.ContainsFunc(b.Tensors, func(t safetensors.Named) bool {
		d, ok := data[t.Name]
		return !ok || !bytes.Equal(d, t.Data)
	})
}

func openStore(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := OpenStore(dir, testID, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func acquire(t *testing.T, dir, owner string, attempt int64) *disk.Lease {
	t.Helper()
	l, err := disk.AcquireLease(t.Context(), dir, disk.Claimant{Owner: owner, Attempt: attempt, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Release() })
	return l
}

// memoryDir is a folder where a sync costs nothing, if the machine has one:
// what these tests kill are processes, and memory survives those.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "so8t-checkpoint-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func mustSave(t *testing.T, s *Store, steps ...int) (last Info) {
	t.Helper()
	for _, step := range steps {
		info, err := s.Save(t.Context(), testState(step), "test")
		if err != nil {
			t.Fatal(err)
		}
		last = info
	}
	return last
}

func wantLatest(t *testing.T, s *Store, step int) Info {
	t.Helper()
	state, info, err := s.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := testState(step); !sameState(state, want) || state.Identity != testID || info.Position != want.Position {
		t.Fatalf("latest is %+v, want step %d", info, step)
	}
	return info
}

// listing names everything in the folder but what belongs to the lease.
func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lease.json" && e.Name() != ".guard" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestSaveAndLatest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run", "checkpoints")
	s := openStore(t, dir, Options{})
	if _, _, err := s.Latest(t.Context()); !errors.Is(err, ErrNone) {
		t.Fatalf("empty store: %v", err)
	}
	saved := mustSave(t, s, 9, 10, 11)
	info := wantLatest(t, s, 11)
	if info.Dir != filepath.Join(dir, "checkpoint_epoch_2_step_11") || info.Digest != saved.Digest || len(info.Digest) != 64 ||
		info.Bytes != saved.Bytes || info.Reason != "test" || !info.SavedAt.Equal(saved.SavedAt) {
		t.Errorf("saved %+v, read %+v", saved, info)
	}
	// By step as a number, not by name or time.
	mustSave(t, s, 100, 99)
	wantLatest(t, s, 100)
	want := []string{"checkpoint_epoch_10_step_100", "checkpoint_epoch_10_step_99", "checkpoint_epoch_1_step_10", "checkpoint_epoch_1_step_9",
		"checkpoint_epoch_2_step_11"}
	if got := listing(t, dir); !slices.Equal(got, want) {
		t.Errorf("folder holds %v", got)
	}
}

func TestSaveTwiceAtOnePosition(t *testing.T) {
	dir := memoryDir(t)
	s := openStore(t, dir, Options{})
	first := mustSave(t, s, 5)
	if again := mustSave(t, s, 5); again.Digest != first.Digest || !again.SavedAt.Equal(first.SavedAt) {
		t.Errorf("equal state was written again: %+v, %+v", first, again)
	}
	other := testState(5)
	other.Metrics = json.RawMessage(`{"paused":true}`)
	if _, err := s.Save(t.Context(), other, "pause"); err != nil {
		t.Fatal(err)
	}
	state, info, err := s.Latest(t.Context())
	if err != nil || !sameState(state, other) || info.Reason != "pause" {
		t.Errorf("%+v, %v", info, err)
	}
	// An equal state over a damaged checkpoint is no reason to do nothing.
	flip(t, filepath.Join(info.Dir, stateName), 500)
	if _, err := s.Save(t.Context(), other, "repair"); err != nil {
		t.Fatal(err)
	}
	if _, info, err := s.Latest(t.Context()); err != nil || info.Reason != "repair" {
		t.Errorf("%+v, %v", info, err)
	}
	if got := listing(t, dir); len(got) != 1 {
		t.Errorf("folder holds %v", got)
	}
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at%len(b)] ^= 0x10
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDamageFallsBack(t *testing.T) {
	newest := testState(2).Folder()
	damages := map[string]func(dir string){
		"state cut short":    func(dir string) { os.Truncate(filepath.Join(dir, stateName), 1000) },
		"state longer":       func(dir string) { os.Truncate(filepath.Join(dir, stateName), 1<<20) },
		"state missing":      func(dir string) { os.Remove(filepath.Join(dir, stateName)) },
		"metrics missing":    func(dir string) { os.Remove(filepath.Join(dir, metricsName)) },
		"manifest missing":   func(dir string) { os.Remove(filepath.Join(dir, manifestName)) },
		"manifest empty":     func(dir string) { os.Truncate(filepath.Join(dir, manifestName), 0) },
		"manifest cut short": func(dir string) { os.Truncate(filepath.Join(dir, manifestName), 300) },
		"another's manifest": func(dir string) {
			b, _ := os.ReadFile(filepath.Join(filepath.Dir(dir), testState(1).Folder(), manifestName))
			os.WriteFile(filepath.Join(dir, manifestName), b, 0o644)
		},
		"another's folder": func(dir string) {
			os.RemoveAll(dir)
			os.CopyFS(dir, os.DirFS(filepath.Join(filepath.Dir(dir), testState(1).Folder())))
		},
		"empty folder": func(dir string) { os.RemoveAll(dir); os.Mkdir(dir, 0o755) },
	}
	for _, name := range []string{stateName, metricsName, manifestName} {
		for _, at := range []int{0, 7, 100, 333, -1} {
			damages[fmt.Sprintf("%s: byte %d flipped", name, at)] = func(dir string) {
				path := filepath.Join(dir, name)
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				flip(t, path, (at+int(info.Size()))%int(info.Size()))
			}
		}
	}
	for what, damage := range damages {
		t.Run(what, func(t *testing.T) {
			var log bytes.Buffer
			s := openStore(t, memoryDir(t), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			mustSave(t, s, 1, 2)
			damage(filepath.Join(s.dir, newest))
			info := wantLatest(t, s, 1)
			if len(info.Rejected) != 1 || filepath.Base(info.Rejected[0].Dir) != newest || info.Rejected[0].Err == nil {
				t.Errorf("rejected: %v", info.Rejected)
			}
			if !strings.Contains(log.String(), newest) {
				t.Errorf("log does not tell: %q", log.String())
			}
		})
	}
}

func TestEverythingDamaged(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{})
	info := mustSave(t, s, 1)
	flip(t, filepath.Join(info.Dir, stateName), 2000)
	_, info, err := s.Latest(t.Context())
	if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "SHA-256 is") || len(info.Rejected) != 1 {
		t.Errorf("%v, %+v", err, info)
	}
}

func TestForeignCheckpoint(t *testing.T) {
	dir := memoryDir(t)
	mustSave(t, openStore(t, dir, Options{}), 3)
	for what, id := range map[string]Identity{
		"workflow id":       {"other", testID.Config, testID.Base, testID.Dataset},
		"config digest":     {testID.WorkflowID, "other", testID.Base, testID.Dataset},
		"base model digest": {testID.WorkflowID, testID.Config, "other", testID.Dataset},
		"dataset digest":    {testID.WorkflowID, testID.Config, testID.Base, "other"},
	} {
		s, err := OpenStore(dir, id, Options{MaxCheckpoints: 1})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Latest(t.Context())
		var foreign *IdentityError
		if !errors.As(err, &foreign) || len(foreign.Differences()) != 1 || !strings.Contains(err.Error(), "its "+what+" is") {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := s.Save(t.Context(), testState(3), "test"); !errors.As(err, &foreign) {
			t.Errorf("%s: saved over another run's checkpoint: %v", what, err)
		}
	}
	// Rotation leaves the other run's alone.
	s, _ := OpenStore(dir, Identity{WorkflowID: "other"}, Options{MaxCheckpoints: 1})
	mustSave(t, s, 4, 5)
	if got := listing(t, dir); !slices.Equal(got, []string{"checkpoint_epoch_1_step_3", "checkpoint_epoch_1_step_5"}) {
		t.Errorf("folder holds %v", got)
	}
	if err := s.Discard(); err != nil || len(listing(t, dir)) != 0 {
		t.Errorf("discard: %v, %v", err, listing(t, dir))
	}
}

func TestUnknownFormatIsNoDamage(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{})
	mustSave(t, s, 1)
	info := mustSave(t, s, 2)
	m, err := readManifest(info.Dir)
	if err != nil {
		t.Fatal(err)
	}
	m.Format = 2
	text, _ := m.encode()
	os.WriteFile(filepath.Join(info.Dir, manifestName), text, 0o644)
	if _, _, err := s.Latest(t.Context()); err == nil || !strings.Contains(err.Error(), "has format 2, this program reads 1") {
		t.Errorf("fell back behind a later format: %v", err)
	}
}

func TestSaveRefuses(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{})
	mustSave(t, s, 1)
	bad := testState(2)
	bad.Metrics = json.RawMessage(`{`)
	foreign := testState(2)
	foreign.Identity = Identity{WorkflowID: "other"}
	short := testState(2)
	short.Tensors[0].Data = short.Tensors[0].Data[:8]
	for want, state := range map[string]*State{"not JSON": bad, "another run": foreign, "takes 12000 bytes": short} {
		if _, err := s.Save(t.Context(), state, "test"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, have %v", want, err)
		}
	}
	if got := listing(t, s.dir); len(got) != 1 {
		t.Errorf("folder holds %v", got)
	}
	if _, err := OpenStore(s.dir, testID, Options{MaxCheckpoints: -1}); err == nil {
		t.Error("negative MaxCheckpoints was taken")
	}
}
