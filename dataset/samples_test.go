package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"

	"so8t/dataset/flatbuf"
	"so8t/quadruple"
)

// writePart writes rows of known values in batches and returns the file.
func writePart(t testing.TB, rows, flushEvery int) string {
	t.Helper()
	return writePartOf(t, Options{Seed: 3}, rows, flushEvery)
}

func writePartOf(t testing.TB, o Options, rows, flushEvery int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "part.arrow")
	w, err := newPartWriter(path, schemaOf(o))
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		err := w.add(rowOf(i))
		if err == nil && i%flushEvery == flushEvery-1 {
			err = w.flush()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.finish(); err != nil {
		t.Fatal(err)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func rowOf(i int) Sample {
	s := Sample{Label: quadruple.Labels[i%4], Domain: strings.Repeat("域", i%5), SourceLine: int64(i + 1), Digest: fmt.Sprintf("%064x", i)}
	for j := range i%7 + 1 {
		s.InputIDs = append(s.InputIDs, int32(100*i+j))
		s.Labels = append(s.Labels, int32(j-100))
	}
	s.PromptLength = i % len(s.InputIDs)
	return s
}

func TestSamples(t *testing.T) {
	for _, rows := range []int{0, 1, 20, 33} {
		s, err := Open(writePart(t, rows, 8))
		if err != nil {
			t.Fatal(err)
		}
		if s.Len() != rows || s.Metadata()["seed"] != "3" {
			t.Errorf("%d samples, metadata %v", s.Len(), s.Metadata())
		}
		for i := range rows {
			got := s.At(i)
			if want := rowOf(i); !reflect.DeepEqual(got, want) {
				t.Errorf("row %d: %+v, want %+v", i, got, want)
			}
			start, at := uintptr(unsafe.Pointer(&s.mapping[0])), uintptr(unsafe.Pointer(&got.InputIDs[0]))
			if at < start || at >= start+uintptr(len(s.mapping)) {
				t.Errorf("row %d is a copy", i)
			}
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefusesOtherColumns(t *testing.T) {
	for want, change := range map[string]func([]arrow.Field){
		`column 3 is "domain" utf8`:         func(f []arrow.Field) { f[3].Name = "domain" },
		`column 4 is "source_line" int32`:   func(f []arrow.Field) { f[4].Type = arrow.PrimitiveTypes.Int32 },
		`column 4 is "source_line" uint64`:  func(f []arrow.Field) { f[4].Type = arrow.PrimitiveTypes.Uint64 },
		`column 6 is "prompt_length" int64`: func(f []arrow.Field) { f[6].Type = arrow.PrimitiveTypes.Int64 },
		`column 5 is "digest" type`:         func(f []arrow.Field) { f[5].Type = arrow.BinaryTypes.Binary },
		`column 2 is "four_class_label" dictionary`: func(f []arrow.Field) {
			f[2].Type = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
		},
		"column 1 is no list of int32": func(f []arrow.Field) { f[1].Type = arrow.ListOf(arrow.PrimitiveTypes.Int64) },
	} {
		fields := slices.Clone(columns)
		change(fields)
		path := filepath.Join(t.TempDir(), "x.arrow")
		w, err := newPartWriter(path, arrow.NewSchema(fields, nil))
		if err == nil {
			_, _, err = w.finish()
		}
		if err := errors.Join(err, w.close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// Arrow's own reader must find the same in the file.
func TestFilesAreArrow(t *testing.T) {
	data, err := os.ReadFile(writePart(t, 20, 8))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewFileReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	row := 0
	for n := range r.NumRecords() {
		b, err := r.Record(n)
		if err != nil {
			t.Fatal(err)
		}
		lists := b.Column(0).(*array.List)
		values := lists.ListValues().(*array.Int32).Int32Values()
		for i := range int(b.NumRows()) {
			from, to := lists.ValueOffsets(i)
			if want := rowOf(row); !slices.Equal(values[from:to], want.InputIDs) {
				t.Errorf("row %d: %v", row, values[from:to])
			}
			if got := b.Column(4).(*array.Int64).Value(i); got != int64(row+1) {
				t.Errorf("row %d: source_line %d", row, got)
			}
			if got := b.Column(6).(*array.Int32).Value(i); int(got) != rowOf(row).PromptLength {
				t.Errorf("row %d: prompt_length %d", row, got)
			}
			row++
		}
	}
	if row != 20 {
		t.Errorf("%d rows", row)
	}
}

func TestOpenRefuses(t *testing.T) {
	good, err := os.ReadFile(writePart(t, 20, 8))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty":     {},
		"text":      []byte(strings.Repeat("hello ", 100)),
		"cut":       good[:len(good)-9],
		"magic":     []byte("ARROW1\x00\x00ARROW1"),
		"no middle": slices.Concat(good[:8], good[len(good)-400:]),
	} {
		path := filepath.Join(t.TempDir(), "x.arrow")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// A damaged file is an error, or still safe to read through: no byte of it may crash the process.
func TestDamagedFiles(t *testing.T) {
	good, err := os.ReadFile(writePart(t, 20, 8))
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for at := 0; at+4 <= len(good); at += 4 { // counts and offsets of every kind, far too large and negative
		for _, number := range []uint32{0, 0x7FFFFFFF, 0xFFFFFFF0, uint32(len(good))} {
			data := slices.Clone(good)
			binary.LittleEndian.PutUint32(data[at:], number)
			if !readThrough(data) {
				refused++
			}
		}
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 20000 {
		data := slices.Clone(good)
		for range 1 + r.IntN(3) {
			data[r.IntN(len(data))] = byte(r.IntN(256))
		}
		if !readThrough(data) {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
}

// A batch that grew with its texts alone would hold all of them in memory, and at 2 GB no longer be an Arrow batch.
func TestLongDomainLabelsCloseBatches(t *testing.T) {
	w, err := newPartWriter(filepath.Join(t.TempDir(), "part.arrow"), schemaOf(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	domain := strings.Repeat("d", 1<<20)
	for range 40 {
		if err := w.add(Sample{Domain: domain, InputIDs: []int32{1}, Labels: []int32{1}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.finish(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(w.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.batches) < 2 || s.Len() != 40 || s.At(39).Domain != domain {
		t.Errorf("%d samples in %d batches", s.Len(), len(s.batches))
	}
	if err := errors.Join(s.Close(), w.close()); err != nil {
		t.Fatal(err)
	}
}

// readThrough says whether a file image is accepted, and touches every value if it is.
func readThrough(data []byte) bool {
	s, err := read(data)
	if err != nil {
		return false
	}
	for i := range s.Len() {
		sample := s.At(i)
		var sum int32
		for j := range sample.InputIDs {
			sum += sample.InputIDs[j] + sample.Labels[j]
		}
		sinkhole = sum
	}
	return true
}

var sinkhole int32

// A small file must not stand for a large one: batches and texts that are referred to again and again.
func TestSharedPartsAreRefused(t *testing.T) {
	long := Options{TokenizerDigest: strings.Repeat("d", 10_000)}
	for want, share := range map[string]func(footer flatbuf.Table){
		"record batch 1: begins at byte": func(footer flatbuf.Table) {
			blocks, _ := footer.Structs(3, 24)
			copy(blocks[24:48], blocks[:24])
		},
		"longer than the footer": func(footer flatbuf.Table) {
			entries, count := footer.Child(1).Structs(2, 4)
			for i, entry := range footer.Child(1).Tables(2) {
				if len(entry.Text(1)) < len(long.TokenizerDigest) {
					continue
				}
				at := binary.LittleEndian.Uint32(entries[4*i:]) // from its own place on
				for j := range count {
					binary.LittleEndian.PutUint32(entries[4*j:], at+uint32(4*i)-uint32(4*j))
				}
			}
		},
	} {
		data, err := os.ReadFile(writePartOf(t, long, 20, 8))
		if err != nil {
			t.Fatal(err)
		}
		if !readThrough(data) {
			t.Fatal("the file is refused before anything is shared")
		}
		tail := len(data) - 10
		share(flatbuf.Root(data[tail-int(binary.LittleEndian.Uint32(data[tail:])) : tail]))
		if _, err := read(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	o := options(t, records(t, 0, 100))
	m := mustSplit(t, o)
	path := filepath.Join(o.Dir, "val.arrow")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := ReadManifest(o.Dir)
	if err != nil || read.Train.SHA256 != m.Train.SHA256 {
		t.Fatalf("manifest %+v, %v", read, err)
	}
	if err := read.Verify(o.Dir); err == nil || !strings.Contains(err.Error(), "val.arrow") {
		t.Errorf("error %v", err)
	}
}
