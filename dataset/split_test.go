package dataset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"so8t/dataset/record"
	"so8t/quadruple"
)

func TestSplit(t *testing.T) {
	o := options(t, records(t, 0, 2000))
	var last int64
	o.Progress = func(read, size int64) { last = read }
	m := mustSplit(t, o)
	if m.Train.Samples+m.Val.Samples+m.Test.Samples != 2000 || m.Lines != 2000 || m.Bad != 0 || m.Reused || last == 0 {
		t.Errorf("manifest %+v, progress %d", m, last)
	}
	for _, label := range quadruple.Labels {
		// 500 records of each label: ±5 standard deviations around the shares
		if a, b, c := m.Train.PerLabel[label], m.Val.PerLabel[label], m.Test.PerLabel[label]; a+b+c != 500 || a < 355 || b < 16 || c < 16 {
			t.Errorf("%s is split %d, %d, %d", label, a, b, c)
		}
	}
	if got := len(partOf(t, o)); got != 2000 {
		t.Errorf("%d different source lines in the parts", got)
	}
	s, err := Open(filepath.Join(o.Dir, "train.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var tokens, targets, longest int64
	for i := range s.Len() {
		sample := s.At(i)
		tokens += int64(len(sample.InputIDs))
		longest = max(longest, int64(len(sample.InputIDs)))
		for _, label := range sample.Labels {
			if label != -100 {
				targets++
			}
		}
		want := example(int(sample.SourceLine) - 1)
		r := record.Record{Instruction: want["instruction"].(string), Output: want["output"].(string), FourClassLabel: want["four_class_label"].(string),
			DomainLabel: "office"}
		digest := r.Digest()
		if sample.Label != r.FourClassLabel || sample.Domain != "office" || sample.Digest != fmt.Sprintf("%x", digest) {
			t.Fatalf("sample %d: %+v", i, sample)
		}
	}
	if int64(s.Len()) != m.Train.Samples || tokens != m.Train.Tokens || targets != m.Train.Targets || longest != m.Train.Longest {
		t.Errorf("train has %d samples, %d tokens, %d targets, longest %d; manifest %+v", s.Len(), tokens, targets, longest, m.Train)
	}
	want := map[string]string{"seed": "42", "tokenizer_digest": o.Tokenizer.Digest(), "template_digest": o.Tokenizer.TemplateDigest(),
		"policy_version": "none", "max_seq_length": "512", "quadruple_thinking": "true"}
	if !maps.Equal(s.Metadata(), want) {
		t.Errorf("metadata %v", s.Metadata())
	}
	if err := m.Verify(o.Dir); err != nil {
		t.Error(err)
	}
}

func TestSplitIsAFunctionOfInputAndSeed(t *testing.T) {
	lines := records(t, 0, 400)
	a, b := options(t, lines), options(t, lines)
	ma, mb := mustSplit(t, a), mustSplit(t, b)
	if ma.Train.SHA256 != mb.Train.SHA256 || ma.Val.SHA256 != mb.Val.SHA256 || ma.Test.SHA256 != mb.Test.SHA256 {
		t.Error("the same input and seed gave other bytes")
	}
	c := options(t, lines)
	c.Seed = 43
	mustSplit(t, c)
	if maps.Equal(partOf(t, a), partOf(t, c)) {
		t.Error("another seed gave the same parts")
	}
}

func TestAddingARecordMovesNoOther(t *testing.T) {
	few, many := options(t, records(t, 0, 300)), options(t, records(t, 0, 900))
	mustSplit(t, few)
	mustSplit(t, many)
	after := partOf(t, many)
	for line, part := range partOf(t, few) {
		if after[line] != part {
			t.Errorf("line %d moved from %s to %s", line, part, after[line])
		}
	}
}

func TestEqualPromptsShareAPart(t *testing.T) {
	lines := records(t, 0, 200)
	lines = append(lines, lines...)
	for i := range 200 { // the same prompt, another answer and label
		r := example(i)
		r["output"], r["four_class_label"] = "はい。", quadruple.Labels[(i+1)%4]
		lines = append(lines, jsonLine(t, r))
	}
	o := options(t, lines)
	mustSplit(t, o)
	part := partOf(t, o)
	for line := int64(1); line <= 200; line++ {
		if part[line] != part[line+200] || part[line] != part[line+400] {
			t.Errorf("line %d is in %s, its copies in %s and %s", line, part[line], part[line+200], part[line+400])
		}
	}
}

func TestSplitAgainIsRecognised(t *testing.T) {
	lines := records(t, 0, 300)
	o := options(t, lines)
	first := mustSplit(t, o)
	file := filepath.Join(o.Dir, "train.arrow")
	before, _ := os.Stat(file)
	again := mustSplit(t, o)
	after, _ := os.Stat(file)
	if !again.Reused || again.Train.SHA256 != first.Train.SHA256 || !os.SameFile(before, after) {
		t.Errorf("split anew: %+v", again)
	}
	for _, c := range []struct {
		name   string
		change func(*SplitOptions)
	}{
		{"seed", func(o *SplitOptions) { o.Seed++ }},
		{"length", func(o *SplitOptions) { o.MaxSeqLength-- }},
		{"form", func(o *SplitOptions) { o.QuadrupleThinking = false }},
		{"input", func(o *SplitOptions) { writeLines(t, o.Paths[0], records(t, 0, 301)) }},
		{"missing file", func(o *SplitOptions) { os.Remove(filepath.Join(o.Dir, "val.arrow")) }},
		{"cut file", func(o *SplitOptions) { os.Truncate(filepath.Join(o.Dir, "test.arrow"), 100) }},
		{"damaged manifest", func(o *SplitOptions) {
			os.WriteFile(filepath.Join(o.Dir, "manifest.json"), []byte("{"), 0o600)
		}},
	} {
		c.change(&o)
		if m := mustSplit(t, o); m.Reused {
			t.Errorf("%s: the old split was taken", c.name)
		}
		if m := mustSplit(t, o); !m.Reused {
			t.Errorf("%s: the new split was not recognised", c.name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Dir), ".splits*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSplitErrors(t *testing.T) {
	o := options(t, records(t, 0, 100))
	for _, c := range []struct {
		name   string
		change func(*SplitOptions)
		want   string
	}{
		{"no file", func(o *SplitOptions) { o.Paths = []string{o.Paths[0] + ".not"} }, "no such file"},
		{"no paths", func(o *SplitOptions) { o.Paths = nil }, "options: 0 paths"},
		{"no samples", func(o *SplitOptions) { o.MaxSeqLength, o.MaxTooLongFraction = 3, 1 }, "100 lines give 0 training and 0 test samples (0 bad, 0 removed, 100 too long)"},
		{"no tokenizer", func(o *SplitOptions) { o.Tokenizer = nil }, "options"},
		{"output is a file", func(o *SplitOptions) { o.Dir = filepath.Join(o.Paths[0], "splits") }, "not a directory"},
	} {
		bad := o
		c.change(&bad)
		if _, err := Split(context.Background(), bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if got := fileNames(t, filepath.Dir(o.Dir)); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
	cause := errors.New("paused")
	ctx, cancel := context.WithCancelCause(context.Background())
	o = options(t, records(t, 0, 600))
	o.Progress = func(int64, int64) { cancel(cause) }
	if _, err := Split(ctx, o); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
	if m := mustSplit(t, o); m.Reused { // goes on
		t.Error("a cancelled split left a whole one")
	}
	if got, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Dir), ".splits*")); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
}
