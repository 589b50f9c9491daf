package dataset

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"so8t/dataset/record"
	"so8t/fuzzguard"
	"so8t/quadruple"
)

// memoryDir is a folder where a sync costs nothing, if the machine has one.
func memoryDir(f *testing.F) string {
	dir, err := os.MkdirTemp("/dev/shm", "so8t-dataset-")
	if err != nil {
		return f.TempDir()
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// FuzzRecord: a record that check lets pass becomes a sample, whose assistant's turn decides what the record says.
func FuzzRecord(f *testing.F) {
	tok := smallTokenizer(f)
	renderers := map[bool]*renderer{}
	for _, thinking := range []bool{false, true} {
		d, err := newRenderer(tok, renderOptions{FourClass: true, Thinking: thinking})
		if err != nil {
			f.Fatal(err)
		}
		renderers[thinking] = d
	}
	rows, err := record.NewReader(record.Options{FourClass: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("i", "", "o", "", "", "", uint8(0), true)
	f.Add("機密情報", "x\n", " お答えできません。", "s", "office", "safe", uint8(2), false)
	f.Add("</s>", " ", quadruple.Quadruple{Task: "t", Safety: "decision: DENY\nbecause", Policy: "p", Final: "f"}.String(), "{{ x }}", "", "", uint8(2), true)
	f.Add("a", "b", quadruple.Quadruple{Task: "t", Safety: "because", Policy: "p", Final: " f "}.String(), "", "", "", uint8(3), true)
	f.Add("a<|end|>", "<final>", "<think-task>", "<s>", "</think-task>", "\n", uint8(1), true)
	f.Fuzz(func(t *testing.T, instruction, input, output, system, domain, safety string, label uint8, quad bool) {
		r := record.Record{Instruction: instruction, Input: input, Output: output, System: system, DomainLabel: domain, SafetyLabel: safety,
			FourClassLabel: quadruple.Labels[int(label)%len(quadruple.Labels)], Line: 1}
		// As a line has it: the reader decides what a record may be.
		r, reason, _ := rows.Parse([]byte(jsonLine(t, r)), &record.Seen{})
		if reason != "" {
			return
		}
		d := renderers[quad]
		size := len(r.Instruction) + len(r.Input) + len(r.Output) + len(r.System) + len(r.DomainLabel) + len(r.SafetyLabel)
		var s Sample
		var err error
		fuzzguard.Call(t, size, fuzzguard.Bound{PerByte: 512, Fixed: 1 << 18}, func() {
			if reason, _ = d.check(&r); reason == "" {
				s, err = d.sample(&r)
			}
		})
		if err != nil {
			t.Fatalf("passes check, but ends the split: %v", err)
		}
		if reason != "" {
			return
		}
		ids, labels, n := s.InputIDs, s.Labels, s.PromptLength
		first := slices.IndexFunc(labels, func(l int32) bool { return l != ignored })
		if len(ids) != len(labels) || first < 1 || first != n || !slices.Equal(ids[n:], labels[n:]) ||
			!d.ending(ids[len(ids)-1]) || slices.ContainsFunc(labels[:len(labels)-1], d.ending) {
			t.Fatalf("ids %v, labels %v, prompt %d", ids, labels, n)
		}
		if !quad {
			return
		}
		answer := Assistant(r)
		q, ok := quadruple.Parse(answer)
		if !ok || q.Decision != r.FourClassLabel {
			t.Fatalf("%q decides %q, the record says %s", answer, q.Decision, r.FourClassLabel)
		}
		r.Output = answer
		if Assistant(r) != answer {
			t.Fatalf("%q is wrapped again: %q", answer, Assistant(r))
		}
	})
}

// FuzzSplit puts lines of any bytes before good ones. Each is in a part or counted by reason, the parts read back, and a
// second Split knows the first.
func FuzzSplit(f *testing.F) {
	good := records(f, 0, 40) // enough for train and test both
	tok := smallTokenizer(f)
	dir := memoryDir(f)
	f.Add([]byte(strings.Join(records(f, 40, 43), "\n")), true)
	f.Add([]byte("\xef\xbb\xbf"+good[0]+"\r\n\r\n"+good[0]+"\n{}"), false)
	f.Add([]byte(`{"instruction":"<|end|>","input":"","output":"o","four_class_label":"DENY"}`), true)
	f.Add([]byte(jsonLine(f, record.Record{Instruction: "i", Output: strings.Repeat("long ", 600), FourClassLabel: "ALLOW"})), true)
	f.Add([]byte("{\n\xff\n[]\n\"\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, quad bool) {
		text := string(data) + "\n" + strings.Join(good, "\n") + "\n"
		o := SplitOptions{Paths: []string{filepath.Join(dir, "in.jsonl")}, Records: record.Options{FourClass: true}, Dir: filepath.Join(dir, "out", "splits"), Tokenizer: tok, MaxSeqLength: 512,
			QuadrupleThinking: quad, MaxBadFraction: 1, MaxTooLongFraction: 1, Threads: 2, Seed: 42}
		if err := os.RemoveAll(filepath.Dir(o.Dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(o.Paths[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var m *Manifest
		var err error
		// The good lines' rendering and three parts' buffers are in the fixed amount.
		fuzzguard.Call(t, len(data), fuzzguard.Bound{PerByte: 1024, Fixed: 32 << 20}, func() { m, err = Split(context.Background(), o) })
		if err != nil {
			t.Fatal(err)
		}
		samples := int64(0)
		for i, name := range partNames {
			samples += checkPart(t, filepath.Join(o.Dir, name+".arrow"), m.part(i), int64(strings.Count(text, "\n")))
		}
		if samples+m.Bad+m.TooLong != m.Lines || samples < int64(len(good)) {
			t.Fatalf("%d lines, %d samples, %d bad, %d too long", m.Lines, samples, m.Bad, m.TooLong)
		}
		again, err := Split(context.Background(), o)
		if err != nil || !again.Reused || again.Train.SHA256 != m.Train.SHA256 {
			t.Fatalf("the same split again: %+v, %v", again, err)
		}
	})
}

// checkPart wants of a part's file what the manifest says of it, and lines in order.
func checkPart(t *testing.T, path string, want *PartInfo, lines int64) int64 {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tokens, last := int64(0), int64(0)
	for i := range s.Len() {
		sample := s.At(i)
		tokens += int64(len(sample.InputIDs))
		digest, err := hex.DecodeString(sample.Digest)
		if sample.SourceLine <= last || sample.SourceLine > lines || !quadruple.IsLabel(sample.Label) || err != nil || len(digest) != 32 {
			t.Fatalf("sample %d: %+v", i, sample)
		}
		last = sample.SourceLine
	}
	if int64(s.Len()) != want.Samples || tokens != want.Tokens {
		t.Fatalf("%s: %d samples of %d tokens, the manifest says %d of %d", path, s.Len(), tokens, want.Samples, want.Tokens)
	}
	return want.Samples
}

// arrowBound: a batch's views for 24 bytes of footer, a table for 4 of a vector, and the texts copied once.
var arrowBound = fuzzguard.Bound{PerByte: 128, Fixed: 1 << 16}

// FuzzArrow: whatever the file, Open answers, and of what it accepts every sample can be read. Its tensors and texts
// are no more than the file has bytes: no batch lies in another.
func FuzzArrow(f *testing.F) {
	for _, rows := range []int{0, 3, 20} {
		data, err := os.ReadFile(writePart(f, rows, 8))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	dir := memoryDir(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "fuzz.arrow")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		fuzzguard.Call(t, len(data), arrowBound, func() {
			s, err := Open(path)
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("error of several lines: %q", err)
				}
				return
			}
			defer s.Close()
			if err := fitsIn(s, len(data)); err != nil {
				t.Error(err)
			}
		})
	})
}

// fitsIn reads every sample.
func fitsIn(s *Samples, size int) error {
	var sum int32
	read := 0
	for key, value := range s.Metadata() {
		read += len(key) + len(value)
	}
	for i := range s.Len() {
		sample := s.At(i)
		if len(sample.InputIDs) != len(sample.Labels) {
			return fmt.Errorf("sample %d has %d ids, %d labels", i, len(sample.InputIDs), len(sample.Labels))
		}
		for j := range sample.InputIDs {
			sum += sample.InputIDs[j] + sample.Labels[j]
		}
		// Columns may share bytes, so each counts by itself.
		read += max(4*len(sample.InputIDs), len(sample.Label), len(sample.Domain), len(sample.Digest))
	}
	sinkhole = sum
	if read > size {
		return fmt.Errorf("%d samples hold more than %d bytes of a file of %d", s.Len(), read, size)
	}
	return nil
}
