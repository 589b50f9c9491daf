package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"so8t/engine/safetensors"
	"so8t/fuzzguard"
)

// readBound: each file is read whole, once, and its JSON taken apart.
var readBound = fuzzguard.Bound{PerByte: 64, Fixed: 1 << 16}

// smallState is of few bytes, so that the fuzzer reaches each of them.
func smallState(step int) *State {
	return &State{
		Position: Position{Epoch: 1, Step: step, StepInEpoch: step},
		Metrics:  json.RawMessage(`{"loss":0.5}`),
		Tensors: []safetensors.Named{
			{Name: "theta", Tensor: safetensors.Tensor{DType: safetensors.F32, Shape: []int64{2}, Data: []byte{1, 2, 3, 4, 5, 6, 7, byte(step)}}},
			{Name: "empty", Tensor: safetensors.Tensor{DType: safetensors.U8, Shape: []int64{0, 3}, Data: []byte{}}},
		},
	}
}

// twoCheckpoints is a store with steps 1 and 2, and the bytes of the second's files.
func twoCheckpoints(f *testing.F) (s *Store, newest string, files map[string][]byte) {
	f.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "so8t-checkpoint-")
	if err != nil {
		dir = f.TempDir()
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	if s, err = OpenStore(dir, testID, Options{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		f.Fatal(err)
	}
	var info Info
	for _, step := range []int{1, 2} {
		if info, err = s.Save(f.Context(), smallState(step), "test"); err != nil {
			f.Fatal(err)
		}
		setTime(f, info.Dir)
	}
	files = map[string][]byte{}
	for _, name := range fuzzed {
		if files[name], err = os.ReadFile(filepath.Join(info.Dir, name)); err != nil {
			f.Fatal(err)
		}
	}
	return s, info.Dir, files
}

// setTime dates the checkpoint at dir, so that its bytes are the same in every process of the fuzzer.
func setTime(f *testing.F, dir string) {
	f.Helper()
	m, err := readManifest(dir)
	if err != nil {
		f.Fatal(err)
	}
	m.SavedAt = time.Unix(0, 0).UTC()
	text, err := m.encode()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, manifestName), text, 0o600)
	}
	if err != nil {
		f.Fatal(err)
	}
}

var fuzzed = []string{manifestName, stateName, metricsName}

// FuzzStore puts other bytes into a file of the newest checkpoint. Latest takes it only if they are the bytes that were
// written; otherwise it answers with the one before, and says which it rejected.
func FuzzStore(f *testing.F) {
	s, newest, files := twoCheckpoints(f)
	for i, name := range fuzzed {
		text := files[name]
		f.Add(uint8(i), text)
		f.Add(uint8(i), text[:len(text)/2])
		f.Add(uint8(i), append(bytes.Clone(text), '\n'))
		flipped := bytes.Clone(text)
		flipped[len(text)/2] ^= 1
		f.Add(uint8(i), flipped)
	}
	former, err := os.ReadFile(filepath.Join(s.folder(Position{Epoch: 1, Step: 1}), manifestName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), former)
	f.Add(uint8(0), bytes.Replace(files[manifestName], []byte(`"reason": "test"`), []byte(`"reason": "tesu"`), 1)) // nothing else checks it
	f.Fuzz(func(t *testing.T, which uint8, contents []byte) {
		name := fuzzed[int(which)%len(fuzzed)]
		put(t, newest, name, contents)
		defer put(t, newest, name, files[name])
		var state *State
		var info Info
		var err error
		fuzzguard.Call(t, len(contents)+4096, readBound, func() { state, info, err = s.Latest(t.Context()) })
		if err != nil {
			t.Fatal(err)
		}
		step, rejected := 1, 1
		if bytes.Equal(contents, files[name]) {
			step, rejected = 2, 0
		}
		if !sameState(state, smallState(step)) || len(info.Rejected) != rejected {
			t.Fatalf("%s of %d bytes: step %d, %d rejected", name, len(contents), state.Step, len(info.Rejected))
		}
	})
}

// FuzzManifest reads manifests that carry the right digest of whatever they say, as no accident but a foreign program
// might leave them. What is accepted gives back the files that were written, and nothing outside the checkpoint is read.
func FuzzManifest(f *testing.F) {
	s, newest, files := twoCheckpoints(f)
	text := files[manifestName]
	unsigned := text[:len(text)-len(digestTail)-digestHex-len(digestKey)]
	f.Add(unsigned)
	entry := fmt.Sprintf(`{"name":"metrics.json","bytes":%d,"sha256":"%x"}`, len(files[metricsName]), sha256.Sum256(files[metricsName]))
	for _, change := range [][2]string{{`"state.safetensors"`, `"../x"`}, {`"metrics.json"`, `"state.safetensors"`}, {`"bytes": `, `"bytes": -`},
		{`"files": [`, `"files": [` + entry + "," + entry + ","}, {`"format": 1`, `"format": 2`}, {`"step": 2`, `"step": 1`}, {`c0ffee`, `other`},
		{`"files": [`, `"files": [null,`}, {`"format": 1,`, ``}} {
		changed := bytes.Replace(unsigned, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(changed, unsigned) {
			f.Fatalf("%s does not occur", change[0])
		}
		f.Add(changed)
	}
	f.Fuzz(func(t *testing.T, unsigned []byte) {
		begin := append(bytes.Clone(unsigned), digestKey...)
		sum := sha256.Sum256(begin)
		put(t, newest, manifestName, append(append(begin, hex.EncodeToString(sum[:])...), digestTail...))
		var state *State
		var info Info
		var err error
		fuzzguard.Call(t, len(unsigned)+4096, readBound, func() { state, info, err = s.load(t.Context(), newest) })
		if err == nil {
			want := smallState(2)
			want.StepInEpoch = state.StepInEpoch // nothing beside the manifest says it
			if !sameState(state, want) || state.Identity != testID || info.Bytes != int64(len(files[stateName])+len(files[metricsName])) {
				t.Fatalf("accepted %+v as %+v", info, state)
			}
			return
		}
		var damage *DamageError
		var identity *IdentityError
		m, manifestErr := readManifest(newest)
		if newer := m == nil && manifestErr != nil && !errors.As(manifestErr, &damage); !newer && !errors.As(err, &damage) && !errors.As(err, &identity) {
			t.Fatalf("%v is neither damage nor another run's", err)
		}
	})
}

func put(t *testing.T, dir, name string, contents []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), contents, 0o600); err != nil {
		t.Fatal(err)
	}
}
