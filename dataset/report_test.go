package dataset

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"so8t/dataset/record"
)

func TestBadLines(t *testing.T) {
	with := func(key string, value any) string {
		r := example(9999)
		if r[key] = value; value == nil {
			delete(r, key)
		}
		return jsonLine(t, r)
	}
	quad := func(safety string) string {
		return "<think-task>t</think-task><think-safety>" + safety + "</think-safety><think-policy>p</think-policy><final>f</final>"
	}
	for _, c := range []struct {
		name, line string
		reason     record.Reason
		detail     string
	}{
		{"utf-8", "{\"instruction\":\"\xff\"}", record.InvalidUTF8, ""},
		{"surrogate", `{"instruction":"\ud800"}`, record.InvalidJSON, "byte"},
		{"no json", "instruction: x", record.InvalidJSON, "byte 0"},
		{"cut", with("x", "y")[:40], record.InvalidJSON, "byte"},
		{"two values", with("input", "") + " {}", record.InvalidJSON, "byte"},
		{"array", `[1]`, record.WrongType, "the line is a JSON array"},
		{"twice", strings.Replace(with("input", ""), "{", `{"output":"a",`, 1), record.DuplicateKey, `"output"`},
		{"unknown", with("labels", "x"), record.UnknownField, `labels`},
		{"case", strings.Replace(with("input", ""), `"output"`, `"Output"`, 1), record.MissingField, "output"},
		{"number", with("instruction", 7), record.WrongType, `instruction is a JSON number`},
		{"missing", with("output", nil), record.MissingField, "output"},
		{"empty", with("instruction", " \n"), record.EmptyField, "instruction"},
		{"label", with("four_class_label", "MAYBE"), record.UnknownLabel, `"MAYBE"`},
		{"control token", with("input", "a<|end|>b"), record.ControlToken, "input contains <|end|>"},
		{"control token in a label", with("domain_label", "<|user|>"), record.ControlToken, "domain_label"},
		{"half a form", with("output", "<final>x</final>"), record.MalformedQuadruple, ""},
		{"other decision", with("output", quad("decision: ALLOW")), record.DecisionMismatch, "ALLOW, four_class_label is REFUSE"},
		{"no such decision", with("output", quad("decision: MAYBE")), record.MalformedQuadruple, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := records(t, 0, 120)
			lines = slices.Insert(lines, 60, c.line)
			o := options(t, lines)
			o.Records.UnknownColumns = "refuse"
			m := mustSplit(t, o)
			r := readReport(t, o)
			if m.Bad != 1 || r.Bad != 1 || r.BadByReason[c.reason] != 1 || len(r.BadLines) != 1 || r.BadLines[0].Line != 61 ||
				!strings.Contains(r.BadLines[0].Detail, c.detail) {
				t.Errorf("bad lines %+v, want %s %q", r.BadLines, c.reason, c.detail)
			}
			if _, there := partOf(t, o)[61]; there || len(partOf(t, o)) != 120 {
				t.Errorf("%d samples, line 61 among them: %t", len(partOf(t, o)), there)
			}
		})
	}
}

func TestTooManyBadLines(t *testing.T) {
	lines := records(t, 0, 95)
	noNumber := example(0)
	noNumber["instruction"] = 7
	lines = slices.Insert(lines, 10, "no json", jsonLine(t, noNumber), jsonLine(t, map[string]any{"instruction": "x"}), "[]", "{}")
	o := options(t, lines)
	_, err := Split(context.Background(), o)
	var input *InputError
	if !errors.As(err, &input) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"in.jsonl", "5 of 100 lines (5.00 %) are bad", "allows 1.00 %", "(missing_field, 2)", "line 11 invalid_json",
		`line 12 wrong_type (instruction is a JSON number)`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if got := fileNames(t, filepath.Dir(o.Dir)); !slices.Equal(got, []string{"splits/policy_report.json"}) {
		t.Errorf("left behind: %v", got)
	}
	if r := readReport(t, o); r.Bad != 5 || r.BadFraction != 0.05 || len(r.BadLines) != 5 {
		t.Errorf("report %+v", r)
	}
	o.MaxBadFraction = 0.05
	if m := mustSplit(t, o); m.Bad != 5 {
		t.Errorf("at the bound: %+v", m)
	}
	// An input that goes bad leaves the finished split of the last one alone.
	before := fileNames(t, filepath.Dir(o.Dir))
	writeLines(t, o.Paths[0], []string{"x"})
	if _, err := Split(context.Background(), o); err == nil {
		t.Error("a file of one bad line was split")
	}
	if got := fileNames(t, filepath.Dir(o.Dir)); !slices.Equal(got, before) {
		t.Errorf("after a failure: %v", got)
	}
}

// Data without classes are told how they can be trained all the same; a few records without one are not.
func TestMissingLabelsNameFourClass(t *testing.T) {
	lines := records(t, 0, 100)
	for _, c := range []struct {
		without int
		named   bool
	}{{100, true}, {95, true}, {50, false}} {
		for i := range c.without {
			r := example(i)
			delete(r, "four_class_label")
			lines[i] = jsonLine(t, r)
		}
		for i := c.without; i < len(lines); i++ {
			lines[i] = jsonLine(t, example(i))
		}
		_, err := Split(context.Background(), options(t, lines))
		if err == nil || strings.Contains(err.Error(), "data.four_class: false") != c.named || !strings.Contains(err.Error(), "data.columns") {
			t.Errorf("%d without: %v", c.without, err)
		}
	}
}

func TestReportListsFewButCountsAll(t *testing.T) {
	r := newReport(nil, Options{})
	for i := range int64(maxListed + 7) {
		r.bad(0, i, record.InvalidJSON, "")
	}
	if r.Bad != maxListed+7 || r.BadByReason[record.InvalidJSON] != maxListed+7 || len(r.BadLines) != maxListed || !r.Truncated {
		t.Errorf("%d bad, %d listed, truncated %t", r.Bad, len(r.BadLines), r.Truncated)
	}
}

func TestByteOrderMarkAndCRLF(t *testing.T) {
	plain := records(t, 0, 100)
	dos := slices.Clone(plain)
	for i := range dos {
		dos[i] += "\r"
	}
	dos[0] = "\uFEFF" + dos[0]
	a, b := mustSplit(t, options(t, plain)), mustSplit(t, options(t, dos))
	if a.Train.SHA256 != b.Train.SHA256 || a.Test.SHA256 != b.Test.SHA256 || b.Bad != 0 {
		t.Errorf("CR LF and a byte order mark changed the samples: %+v", b)
	}
}

func TestTooLongIsDroppedAndCounted(t *testing.T) {
	lines := records(t, 0, 100)
	r := example(5)
	r["output"] = strings.Repeat("できません。", 600)
	lines[5] = jsonLine(t, r)
	o := options(t, lines)
	o.MaxTooLongFraction = 0.01
	m := mustSplit(t, o)
	report := readReport(t, o)
	if m.TooLong != 1 || m.Bad != 0 || len(report.TooLongLines) != 1 || report.TooLongLines[0].Line != 6 || report.TooLongLines[0].Tokens <= 512 ||
		len(partOf(t, o)) != 99 {
		t.Errorf("manifest %+v, report %+v", m, report.TooLongLines)
	}
}
