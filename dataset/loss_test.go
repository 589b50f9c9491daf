package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"so8t/dataset/record"
	"so8t/policy"
	"so8t/quadruple"
)

// refused splits what must be refused, and returns the error's text.
func refused(t *testing.T, o SplitOptions) string {
	t.Helper()
	_, err := Split(context.Background(), o)
	if !errors.As(err, new(*InputError)) {
		t.Fatalf("error %v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("several lines: %q", err)
	}
	return err.Error()
}

func wantParts(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}

func hasNote(r *Report, parts ...string) bool {
	return slices.ContainsFunc(r.Notes("r.json"), func(note string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(note, part) })
	})
}

// longRecords are 300 of which the first `long` have answers of more than 512 tokens.
func longRecords(t *testing.T, long int) []string {
	lines := records(t, 0, 300)
	for i := range long {
		lines[i] = withText(t, "output", strings.Repeat("できません。", 600), i)
	}
	return lines
}

// A sequence length that most samples exceed is no training run with rc 0.
func TestCase3MostSamplesTooLong(t *testing.T) {
	o := options(t, longRecords(t, 232))
	o.MaxTooLongFraction = 0.05
	text := refused(t, o)
	wantParts(t, text, "232 of 300 samples (77.33 %)", "data.max_seq_length", "512 tokens", "the longest has 6", "data.max_too_long_fraction allows 5.00 %",
		filepath.Join(o.Dir, "policy_report.json"))
	if r := readReport(t, o); r.TooLong != 232 || r.Longest < 600 || len(r.TooLongLines) != 232 || r.TooLongFraction < 0.77 {
		t.Errorf("%+v", r)
	}
	o.MaxTooLongFraction = 0.8
	mustSplit(t, o)
	if r := readReportPointer(t, o); !hasNote(r, "232 records (77.33 %)", "data.max_seq_length", "512", "the longest has") {
		t.Errorf("notes %q", r.Notes("r.json"))
	}
	o.MaxTooLongFraction = 0.5 // the split that is there is not one that these options allow
	wantParts(t, refused(t, o), "232 of 300")
}

// Neighbour: the share counts samples, not lines: bad and removed lines do not thin it out.
func TestCase3ShareOfTheSamples(t *testing.T) {
	lines := append(longRecords(t, 20), slices.Repeat([]string{"{}"}, 300)...)
	o := options(t, lines)
	o.MaxBadFraction, o.MaxTooLongFraction = 0.6, 0.05
	wantParts(t, refused(t, o), "20 of 300 samples (6.67 %)")
}

// Neighbour: a label of which one rule takes every test record is named, whatever the rule.
func TestCase3LostLabels(t *testing.T) {
	for name, spoil := range map[string]func(i int) string{
		"too long": func(i int) string { return withText(t, "output", strings.Repeat("できません。", 600), i) },
		"removed":  func(i int) string { return withText(t, "input", "a@example.co.jp", i) },
		"bad":      func(i int) string { return withText(t, "input", "<|end|>", i) },
	} {
		t.Run(name, func(t *testing.T) {
			lines := records(t, 0, 400)
			for i := range lines {
				if quadruple.Labels[i%4] == "REFUSE" {
					lines[i] = spoil(i)
				}
			}
			o := options(t, lines)
			o.MaxTooLongFraction, o.MaxBadFraction, o.Policy = 1, 1, withPolicy(t, func(*policy.Options) {})
			mustSplit(t, o)
			r := readReportPointer(t, o)
			for _, part := range []string{"train", "test"} {
				if !hasNote(r, "REFUSE", "left in "+part) {
					t.Errorf("notes %q", r.Notes("r.json"))
				}
			}
			if hasNote(r, "DENY", "left in") {
				t.Errorf("notes %q", r.Notes("r.json"))
			}
		})
	}
}

// Neighbour: so many are removed by the policy that a part is empty; the error counts them.
func TestCase3EverythingRemoved(t *testing.T) {
	var lines []string
	for i := range 100 {
		lines = append(lines, withText(t, "input", "a@example.co.jp", i))
	}
	o := options(t, lines)
	o.Policy = withPolicy(t, func(*policy.Options) {})
	wantParts(t, refused(t, o), "0 training and 0 test samples", "100 removed")
}

func TestCase17UnknownLabels(t *testing.T) {
	var lines []string
	for i := range 50 {
		lines = append(lines, withText(t, "four_class_label", "MAYBE", i))
	}
	o := options(t, lines)
	text := refused(t, o)
	wantParts(t, text, "ALLOW, ESCALATION, DENY, REFUSE", "data.labels", "50 of 50 lines", "MAYBE", filepath.Join(o.Dir, "policy_report.json"))
	if cause, count := strings.Index(text, "data.labels"), strings.Index(text, "50 of 50"); cause > count {
		t.Errorf("%q names the count before the cause", text)
	}
	if strings.Contains(text, "line 1 unknown_label") {
		t.Errorf("%q repeats the one reason at every line", text)
	}
}

func TestNotesNameFilesColumnsAndReport(t *testing.T) {
	lines := records(t, 0, 200)
	for i := range 20 {
		r := example(i)
		r["title"], r["four_class_label"] = "x", "deny"
		lines[i] = jsonLine(t, r)
	}
	o := options(t, append(lines, lines[100:110]...))
	mustSplit(t, o)
	r := readReportPointer(t, o)
	for _, want := range [][]string{{"title 20"}, {"deny", "DENY", "20"}, {"10 records are equal"}, {"in.jsonl"}} {
		if !hasNote(r, want...) {
			t.Errorf("notes %q lack %q", r.Notes("r.json"), want)
		}
	}
	if notes := r.Notes("/x/r.json"); !strings.Contains(notes[len(notes)-1], "/x/r.json") {
		t.Errorf("notes %q", notes)
	}
}

func TestStatistics(t *testing.T) {
	s := newStatistics(false)
	for _, tokens := range []int{1, 32, 33, 64, 65, 300} {
		labels := make([]int32, tokens)
		labels[0] = ignored
		s.add(&Sample{InputIDs: make([]int32, tokens), Labels: labels})
	}
	want := []LengthBin{{32, 2}, {64, 2}, {128, 1}, {256, 0}, {512, 1}}
	if !slices.Equal(s.Lengths, want) || s.Longest != 300 || s.Tokens != 495 || s.Targets != 489 {
		t.Errorf("%+v", s)
	}
}

func TestReportStaysSmall(t *testing.T) {
	r, next := newReport(nil, Options{}), newReport(nil, Options{})
	for i := range maxListed + 5 {
		count(next, next.Licenses, "licence "+strings.Repeat("x", i%7)+string(rune(i)), 1)
	}
	r.add(next)
	r.add(next)
	again := newReport(nil, Options{})
	again.add(next)
	again.add(next)
	if !reflect.DeepEqual(r, again) {
		t.Error("which licences are counted by name depends on the order of a map")
	}
	if total := sum(r.Licenses); len(r.Licenses) > maxListed+1 || total != 2*(maxListed+5) || !r.Truncated {
		t.Errorf("%d licences, %d records, truncated %t", len(r.Licenses), total, r.Truncated)
	}
}

func TestRowsAreReadAsWritten(t *testing.T) {
	if _, err := appendRow(nil, &Sample{InputIDs: []int32{1}, Labels: []int32{2}}); err == nil {
		t.Error("a label of another token was written")
	}
	path := filepath.Join(t.TempDir(), "x.rows")
	log, err := openLog(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.file.Close()
	samples := []Sample{{Digest: "00ff"}, {InputIDs: []int32{5, 31999, 7}, Labels: []int32{5, ignored, 7}, PromptLength: 2, Label: "DENY", Domain: "域",
		SourceFile: 3, SourceLine: 1 << 40, Digest: "0102"}, {InputIDs: []int32{1, 2}, Labels: []int32{ignored, ignored}}}
	var rows []byte
	for i := range samples {
		if rows, err = appendRow(rows, &samples[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.add(rows); err != nil {
		t.Fatal(err)
	}
	i := 0
	var s Sample
	err = log.each(t.Context(), func(row []byte) error {
		want := samples[i]
		if err := s.decode(row); err != nil || !slices.Equal(s.InputIDs, want.InputIDs) || !slices.Equal(s.Labels, want.Labels) ||
			s.Domain != want.Domain || s.Label != want.Label || s.SourceLine != want.SourceLine || s.SourceFile != want.SourceFile ||
			s.Digest != want.Digest || s.PromptLength != want.PromptLength {
			t.Errorf("%+v, %v, want %+v", s, err, want)
		}
		for cut := range len(row) {
			if err := new(Sample).decode(row[:cut]); err == nil {
				t.Errorf("%d of %d bytes were accepted", cut, len(row))
			}
		}
		i++
		return nil
	})
	if err != nil || i != len(samples) {
		t.Errorf("%d rows, %v", i, err)
	}
	if err := os.Truncate(path, int64(len(rows)-1)); err != nil {
		t.Fatal(err)
	}
	if err := log.each(t.Context(), func([]byte) error { return nil }); err == nil {
		t.Error("a cut log was read")
	}
}

// A refusal never names a report that is of another input: the finished split that stands there, and its report, stay.
func TestRefusalBesideAFinishedSplit(t *testing.T) {
	o := options(t, records(t, 0, 100))
	mustSplit(t, o)
	writeLines(t, o.Paths[0], slices.Repeat([]string{"{}"}, 50))
	text := refused(t, o)
	wantParts(t, text, "50 of 50 lines", "bin/worker data check --json lists them")
	if strings.Contains(text, "policy_report.json") || readReport(t, o).Lines != 100 {
		t.Errorf("%q, %d lines in the report", text, readReport(t, o).Lines)
	}
}

// A finished split is taken again under the same rule that took it: removed records are no samples.
func TestFinishedSplitsAreJudgedAlike(t *testing.T) {
	lines := longRecords(t, 20)
	for i := 100; i < 300; i++ {
		lines[i] = withText(t, "input", "a@example.co.jp", i)
	}
	o := options(t, lines)
	o.MaxTooLongFraction, o.Policy = 0.2, withPolicy(t, func(*policy.Options) {})
	mustSplit(t, o)
	o.MaxTooLongFraction = 0.19 // 20 of 100, but 20 of 300 lines
	wantParts(t, refused(t, o), "20 of 100 samples (20.00 %)")
}

// What trains the model is noted with its labels, its lengths and the share of it that the loss counts.
func TestNotesDescribeTheParts(t *testing.T) {
	o := options(t, records(t, 0, 200))
	m := mustSplit(t, o)
	r := readReportPointer(t, o)
	for i, name := range []string{"training", "validation", "test"} {
		p := m.part(i)
		if !hasNote(r, fmt.Sprintf("%s: %d records (ALLOW %d, ", name, p.Samples, p.PerLabel["ALLOW"]), " % of their tokens are in the loss",
			fmt.Sprintf("the longest has %d tokens", p.Longest)) {
			t.Errorf("%s: notes %q", name, r.Notes("r.json"))
		}
	}
	o.Records.FourClass, o.QuadrupleThinking = false, false
	mustSplit(t, o)
	if r = readReportPointer(t, o); !hasNote(r, " records; ") {
		t.Errorf("without labels: notes %q", r.Notes("r.json"))
	}
}

// Records that lack nothing but the label are told how to train without it.
func TestMissingLabelsNameTheKey(t *testing.T) {
	var lines []string
	for i := range 50 {
		r := example(i)
		delete(r, "four_class_label")
		lines = append(lines, jsonLine(t, r))
	}
	wantParts(t, refused(t, options(t, lines)), "data.four_class: false trains on records without labels")
	for i := range lines {
		lines[i] = `{"instruction":"x"}`
	}
	if text := refused(t, options(t, lines)); strings.Contains(text, "data.four_class") {
		t.Errorf("%q", text)
	}
}

// Every reason has words of its own: none is told by its key alone.
func TestReasonsHaveWords(t *testing.T) {
	source, err := os.ReadFile("record/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	keys := regexp.MustCompile(`Reason += "([a-z0-9_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(keys) < 18 {
		t.Fatalf("%d reasons", len(keys))
	}
	page, err := os.ReadFile("../docs/data.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if _, ok := wordings[record.Reason(key[1])]; !ok {
			t.Errorf("%s has no words", key[1])
		}
		if record.Reason(key[1]) != record.BlankLine && !strings.Contains(string(page), "`"+key[1]+"`") {
			t.Errorf("docs/data.md does not name %s", key[1])
		}
	}
}
