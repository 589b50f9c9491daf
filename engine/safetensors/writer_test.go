package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sample holds every element type, a scalar, an empty tensor and names that need escaping.
func sample() []Named {
	var list []Named
	add := func(name, dtype string, shape ...int64) {
		n, _ := Spec{DType: dtype, Shape: shape}.Bytes()
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i*7 + len(list))
		}
		list = append(list, Named{Name: name, Tensor: Tensor{dtype, shape, data}})
	}
	for dtype := range dtypes {
		add("t."+dtype, dtype, 3, 5)
	}
	add("scalar", F32)
	add("empty", BF16, 4, 0)
	add(`重み <"0">&`, I8, 1)
	return list
}

func encodeAll(t *testing.T, tensors []Named, metadata map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	tensors := sample()
	if err := WriteFile(path, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Names()) != len(tensors) || f.Metadata()["format"] != "pt" {
		t.Fatalf("names %v, metadata %v", f.Names(), f.Metadata())
	}
	for _, want := range tensors {
		got, ok := f.Tensor(want.Name)
		same := ok && got.DType == want.DType && slices.Equal(got.Shape, want.Shape) && bytes.Equal(got.Data, want.Data)
		if !same {
			t.Errorf("%s: wrote %v, read %v", want.Name, want.Tensor, got)
		}
		f.Release(want.Name)
		if !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%s: view changed on Release", want.Name)
		}
	}
	if _, ok := f.Tensor("absent"); ok {
		t.Error("found a tensor that is not there")
	}
	f.Release("absent")
}

// Order of arguments must not reach the file.
func TestSameTensorsSameBytes(t *testing.T) {
	tensors := sample()
	metadata := map[string]string{"format": "pt", "a": "1", "b": "2"}
	first := encodeAll(t, tensors, metadata)
	for range 5 {
		slices.Reverse(tensors)
		if !bytes.Equal(first, encodeAll(t, tensors, metadata)) {
			t.Fatal("bytes depend on the order of the arguments")
		}
		tensors = append(tensors[3:], tensors[:3]...)
	}
}

// Every file of the oracle was written by the reference implementation:
// reading and writing it again must give the very bytes back.
func TestReferenceBytes(t *testing.T) {
	found := 0
	err := filepath.WalkDir("../../testdata/oracle", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".safetensors" {
			return err
		}
		found++
		f, err := Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		var tensors []Named
		for _, name := range f.Names() {
			tensor, _ := f.Tensor(name)
			tensors = append(tensors, Named{Name: name, Tensor: tensor})
		}
		image, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(image, encodeAll(t, tensors, f.Metadata())) {
			t.Errorf("%s: rewritten file differs", path)
		}
		decoded, metadata, err := Decode(image)
		if err == nil && !bytes.Equal(image, encodeAll(t, decoded, metadata)) {
			t.Errorf("%s: rewritten image differs", path)
		}
		return err
	})
	if err != nil || found == 0 {
		t.Fatalf("%d files, %v", found, err)
	}
}

func TestWriterRefuses(t *testing.T) {
	f32 := func(name string, n int) Named {
		return Named{Name: name, Tensor: Tensor{F32, []int64{int64(n)}, make([]byte, 4*n)}}
	}
	short := f32("x", 2)
	short.Data = short.Data[:7]
	for want, tensors := range map[string][]Named{
		`"x" is given twice`:               {f32("x", 1), f32("x", 2)},
		`"__metadata__" is reserved`:       {f32("__metadata__", 1)},
		`"x": F32 [2] takes 8 bytes, data`: {short},
		`"F8" is not supported`:            {{Name: "x", Tensor: Tensor{"F8", nil, []byte{0}}}},
		`negative dimension`:               {{Name: "x", Tensor: Tensor{F32, []int64{-1}, nil}}},
		`overflows`:                        {{Name: "x", Tensor: Tensor{F32, []int64{1 << 40, 1 << 40}, nil}}},
	} {
		err := Write(io.Discard, tensors, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, have %v", want, err)
		}
	}
}

func TestWriterWantsOrder(t *testing.T) {
	specs := []Spec{{"b", F32, []int64{2}}, {"a", F32, []int64{1}}, {"none", F32, []int64{0}}}
	var b bytes.Buffer
	w, err := NewWriter(&b, specs, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append("b", make([]byte, 8)); err == nil {
		t.Error("b before a was taken")
	}
	if err := w.Append("a", make([]byte, 5)); err == nil {
		t.Error("five bytes for four were taken")
	}
	for _, piece := range []string{"a", "b", "b"} {
		if w.Finish() == nil {
			t.Error("finished too early")
		}
		if err := w.Append(piece, []byte{1, 2, 3, 4}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Error(err)
	}
	if _, err := parse(b.Bytes()); err != nil {
		t.Error(err)
	}
}

func TestWriteFileLeavesFormerOnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	if err := WriteFile(path, sample(), nil); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	bad := Named{Name: "x", Tensor: Tensor{F32, []int64{1}, nil}}
	if err := WriteFile(path, []Named{bad}, nil); err == nil {
		t.Error("bad tensor was written")
	}
	after, _ := os.ReadFile(path)
	entries, _ := os.ReadDir(dir)
	if !bytes.Equal(before, after) || len(entries) != 1 {
		t.Errorf("former file changed or %d files remain", len(entries))
	}
}

func TestShards(t *testing.T) {
	for _, c := range []struct {
		maxBytes int64
		files    []string
	}{
		{1 << 20, []string{"model.safetensors"}},
		{20, []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", IndexName}},
		{1, []string{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", IndexName}},
	} {
		dir := t.TempDir()
		tensors := map[string][]byte{"z": []byte("zzzzzzzz"), "a": []byte("aaaabbbb"), "m": []byte("mmmmnnnnoooo")}
		var specs []Spec
		for _, name := range []string{"z", "a", "m"} {
			specs = append(specs, Spec{name, F32, []int64{int64(len(tensors[name]) / 4)}})
		}
		w, err := NewShardedWriter(dir, specs, map[string]string{"format": "pt"}, c.maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range w.Order() {
			for i := 0; i < len(tensors[s.Name]); i += 4 {
				if err := w.Append(s.Name, tensors[s.Name][i:i+4]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var files []string
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			files = append(files, e.Name())
		}
		slices.Sort(c.files)
		if !slices.Equal(files, c.files) {
			t.Fatalf("at most %d bytes: %v", c.maxBytes, files)
		}
		m, err := OpenModel(dir)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range tensors {
			if got, _ := m.Tensor(name); !bytes.Equal(got.Data, want) {
				t.Errorf("%s: %q", name, got.Data)
			}
			m.Release(name)
		}
		if len(m.Names()) != 3 || m.Metadata()["format"] != "pt" {
			t.Errorf("names %v, metadata %v", m.Names(), m.Metadata())
		}
		m.Close()
	}
}

func TestShardedWriterMissesData(t *testing.T) {
	dir := t.TempDir()
	specs := []Spec{{"a", F32, []int64{1}}, {"b", F32, []int64{1}}}
	w, err := NewShardedWriter(dir, specs, nil, 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append("a", make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), `"b": 4 bytes are missing`) {
		t.Errorf("closed with %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, IndexName)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("an index was written all the same")
	}
	if err := w.Append("b", make([]byte, 4)); err == nil {
		t.Error("appended to a closed writer")
	}
}

// The index that transformers writes, byte for byte.
func TestIndexText(t *testing.T) {
	got := string(renderIndex(map[string]string{"b": "s2", "a": "s1"}, 8))
	want := "{\n  \"metadata\": {\n    \"total_size\": 8\n  },\n  \"weight_map\": {\n    \"a\": \"s1\",\n    \"b\": \"s2\"\n  }\n}\n"
	if got != want || !json.Valid([]byte(got)) {
		t.Error(got)
	}
}

// TestWriteFrom: a tensor that is read piece by piece while it is written gives the file that its bytes give.
func TestWriteFrom(t *testing.T) {
	data := make([]byte, 2*pieceBytes+12)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	tensors := []Named{{Name: "a", Tensor: Tensor{F32, []int64{int64(len(data) / 4)}, data}}, {Name: "b", Tensor: Tensor{U8, []int64{3}, []byte{1, 2, 3}}},
		{Name: "none", Tensor: Tensor{F32, []int64{0}, nil}}}
	var want, got bytes.Buffer
	if err := Write(&want, tensors, nil); err != nil {
		t.Fatal(err)
	}
	for i := range tensors {
		tensors[i].From, tensors[i].Data = bytes.NewReader(tensors[i].Data), nil
	}
	if err := Write(&got, tensors, nil); err != nil || !bytes.Equal(want.Bytes(), got.Bytes()) {
		t.Errorf("the files differ (%v)", err)
	}
	if loaded, err := tensors[0].Load(); err != nil || !bytes.Equal(loaded, data) {
		t.Errorf("loaded %d bytes (%v)", len(loaded), err)
	}
	tensors[0].From = bytes.NewReader(data[:pieceBytes+8])
	if err := Write(io.Discard, tensors, nil); err == nil {
		t.Error("a source that ends too soon was taken")
	}
}
