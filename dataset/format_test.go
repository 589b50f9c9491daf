package dataset

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// A split that was made before prompt_length was stored is used as it is, and reads as one made now.
func TestSplitOfFormat1(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "format1"))); err != nil {
		t.Fatal(err)
	}
	o := options(t, records(t, 0, 40))
	now := mustSplit(t, o)
	old := o
	old.Paths, old.Dir = []string{filepath.Join(dir, "in.jsonl")}, filepath.Join(dir, "out", "splits")
	then := mustSplit(t, old)
	if !then.Reused || then.FormatVersion != 1 || now.FormatVersion != formatVersion || then.DatasetDigest != now.DatasetDigest {
		t.Errorf("then %+v\nnow %+v", then, now)
	}
	for _, name := range partNames {
		a, err := Open(filepath.Join(old.Dir, name+".arrow"))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		b, err := Open(filepath.Join(o.Dir, name+".arrow"))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if a.Len() != b.Len() || a.Len() == 0 {
			t.Fatalf("%s: %d samples then, %d now", name, a.Len(), b.Len())
		}
		for i := range a.Len() {
			if x, y := a.At(i), b.At(i); !reflect.DeepEqual(x, y) || x.PromptLength == 0 {
				t.Errorf("%s, sample %d: %+v then, %+v now", name, i, x, y)
			}
		}
	}
}

// A prompt that is longer than its sample would let evaluation read past the end.
func TestOpenRefusesWrongPromptLengths(t *testing.T) {
	for _, n := range []int{-1, 3} {
		path := filepath.Join(t.TempDir(), "x.arrow")
		w, err := newPartWriter(path, schemaOf(Options{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.add(Sample{InputIDs: []int32{1, 2}, Labels: []int32{1, 2}, PromptLength: n}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.finish(); err != nil {
			t.Fatal(err)
		}
		if err := w.close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil {
			t.Errorf("a prompt of %d of 2 tokens was accepted", n)
		}
	}
}
