package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"so8t/fuzzguard"
)

// The header's JSON tokens, and an entry, a name and an index row for every 60 bytes of it.
var headerBound = fuzzguard.Bound{PerByte: 64, Fixed: 1 << 16}

// memoryDir is a folder where writing costs no disk, if the machine has one.
func memoryDir(tb testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "so8t-safetensors-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func write(tb testing.TB, dir, name string, data []byte) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// withLength puts the length of the header before it, so that the fuzzer need not find it.
func withLength(header, data []byte) []byte {
	image := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(image, header...), data...)
}

// FuzzDecode: whatever the bytes, Decode and Open answer alike, and what they accept is JSON whose tensors
// cover the data without gap or overlap, each under its own name, and can be written and read again.
func FuzzDecode(f *testing.F) {
	for _, c := range refusals {
		f.Add(c.image, []byte(nil))
	}
	var b bytes.Buffer
	if err := Write(&b, sample(), map[string]string{"format": "pt"}); err != nil {
		f.Fatal(err)
	}
	h, err := parse(b.Bytes())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), []byte(nil))
	f.Add(b.Bytes()[lengthBytes:h.data], b.Bytes()[h.data:])
	dir := memoryDir(f)
	f.Fuzz(func(t *testing.T, header, data []byte) {
		image := header // whole images have no second part
		if len(data) > 0 {
			image = withLength(header, data)
		}
		var tensors []Named
		var metadata map[string]string
		var err error
		fuzzguard.Call(t, len(image), headerBound, func() { tensors, metadata, err = Decode(image) })
		sameAsOpen(t, write(t, dir, "fuzz.safetensors", image), len(image), tensors, err)
		if err != nil {
			return
		}
		start := lengthBytes + int(binary.LittleEndian.Uint64(image))
		if !json.Valid(image[lengthBytes:start]) {
			t.Fatalf("accepted a header that is not JSON: %q", image[lengthBytes:start])
		}
		var covered []byte
		for _, n := range tensors {
			covered = append(covered, n.Data...)
		}
		if !bytes.Equal(covered, image[start:]) {
			t.Fatalf("tensors cover %d bytes of %d, or others", len(covered), len(image)-start)
		}
		var again bytes.Buffer
		if err := Write(&again, tensors, metadata); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, _, err := Decode(again.Bytes())
		if err != nil || len(back) != len(tensors) {
			t.Fatalf("what was written cannot be read: %d tensors of %d, %v", len(back), len(tensors), err)
		}
		for _, n := range back {
			i := slices.IndexFunc(tensors, func(m Named) bool { return m.Name == n.Name })
			if i < 0 || !bytes.Equal(tensors[i].Data, n.Data) || !slices.Equal(tensors[i].Shape, n.Shape) {
				t.Fatalf("%q came back changed", n.Name)
			}
		}
	})
}

// sameAsOpen wants of the file at path what Decode answered for its bytes.
func sameAsOpen(t *testing.T, path string, size int, tensors []Named, decodeErr error) {
	t.Helper()
	var file *File
	var err error
	fuzzguard.Call(t, size, headerBound, func() { file, err = Open(path) })
	var format *FormatError
	if (err == nil) != (decodeErr == nil) || err != nil && !errors.As(err, &format) {
		t.Fatalf("Open answers %v, Decode %v", err, decodeErr)
	}
	if err != nil {
		return
	}
	defer file.Close()
	if len(file.Names()) != len(tensors) {
		t.Fatalf("Open has %d tensors, Decode %d", len(file.Names()), len(tensors))
	}
	for _, n := range tensors {
		view, ok := file.Tensor(n.Name)
		file.Release(n.Name)
		if !ok || !bytes.Equal(view.Data, n.Data) {
			t.Fatalf("tensor %q differs between Open and Decode", n.Name)
		}
	}
}

// FuzzIndex: whatever the index of a model folder says, OpenModel answers; a fault of the index is a
// *FormatError, and every tensor of a model that opens is in its shard.
func FuzzIndex(f *testing.F) {
	dir := memoryDir(f)
	var shard bytes.Buffer
	if err := Write(&shard, sample(), nil); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"a.safetensors", "b.safetensors"} {
		write(f, dir, name, shard.Bytes())
	}
	names := map[string]string{}
	for i, n := range sample() {
		names[n.Name] = []string{"a.safetensors", "b.safetensors"}[i%2]
	}
	f.Add(renderIndex(names, 7), "")
	f.Add([]byte(`{"weight_map":{"a":"../a.safetensors"},"metadata":null}`), "")
	for _, shard := range []string{"a.safetensors", "missing", "../a.safetensors", ".", "", "a.safetensors/b", IndexName} {
		f.Add([]byte(`{"metadata":{}}`), shard)
	}
	f.Fuzz(func(t *testing.T, index []byte, shardName string) {
		if shardName != "" {
			index = renderIndex(map[string]string{sample()[0].Name: shardName, sample()[1].Name: "a.safetensors"}, int64(len(index)))
		}
		write(t, dir, IndexName, index)
		var m *Model
		var err error
		// Two shards' headers are read besides.
		fuzzguard.Call(t, len(index)+2*shard.Len(), headerBound, func() { m, err = OpenModel(dir) })
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("%v is no FormatError", err)
			}
			return
		}
		defer m.Close()
		if len(m.Names()) == 0 || len(m.Files()) == 0 {
			t.Fatalf("an empty model: %d tensors in %d files", len(m.Names()), len(m.Files()))
		}
		seen := map[string]bool{}
		for _, name := range m.Names() {
			if _, ok := m.Tensor(name); !ok || seen[name] {
				t.Fatalf("%q is missing or listed twice", name)
			}
			seen[name] = true
			m.Release(name)
		}
	})
}
