package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"so8t/policy"
)

// A run that was trained on a split of an earlier format goes on with it as it is, and it reads as one made now. Another
// run splits anew: those formats knew neither the policy nor the options of today.
func TestSplitsOfEarlierFormats(t *testing.T) {
	o := options(t, records(t, 0, 40))
	now := mustSplit(t, o)
	for format := 1; format < formatVersion; format++ {
		t.Run(fmt.Sprint("format", format), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", fmt.Sprint("format", format)))); err != nil {
				t.Fatal(err)
			}
			old := o
			old.Paths, old.Dir = []string{filepath.Join(dir, "in.jsonl")}, filepath.Join(dir, "out", "splits")
			old.Policy = withPolicy(t, func(*policy.Options) {}) // which those formats did not know
			old.Trained = true
			then := mustSplit(t, old)
			if notes := readReportPointer(t, old).Notes("r.json"); !slices.Contains(notes, "read from in.jsonl by an earlier version, which knew no policy") {
				t.Errorf("notes %q", notes)
			}
			if !then.Reused || then.FormatVersion != format || now.FormatVersion != formatVersion || then.DatasetDigest != now.DatasetDigest ||
				then.Identity() != then.DatasetDigest || now.Identity() == now.DatasetDigest {
				t.Errorf("then %+v\nnow %+v", then, now)
			}
			var samples []Sample
			eachSample(t, o, func(_ string, s Sample) { samples = append(samples, cloned(s)) })
			eachSample(t, old, func(part string, s Sample) {
				if len(samples) == 0 || !reflect.DeepEqual(s, samples[0]) || s.PromptLength == 0 {
					t.Fatalf("%s: %+v", part, s)
				}
				samples = samples[1:]
			})
			if len(samples) > 0 {
				t.Errorf("%d samples are missing", len(samples))
			}
			other := old
			other.Seed++
			other.Dir = filepath.Join(t.TempDir(), "splits")
			if err := os.CopyFS(other.Dir, os.DirFS(old.Dir)); err != nil {
				t.Fatal(err)
			}
			if m := mustSplit(t, other); m.Reused || m.FormatVersion != formatVersion {
				t.Errorf("another seed: %+v", m)
			}
			old.Trained = false
			if m := mustSplit(t, old); m.Reused || m.Options.PolicyVersion != old.Policy.Version() {
				t.Errorf("a new run: %+v", m)
			}
		})
	}
}

// cloned is a sample that outlives its file.
func cloned(s Sample) Sample {
	s.InputIDs, s.Labels = slices.Clone(s.InputIDs), slices.Clone(s.Labels)
	return s
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
