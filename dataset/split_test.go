package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"so8t/tokenizer"
)

func smallTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Load(filepath.Join("..", "tokenizer", "testdata", "fallback"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func record(i int) map[string]any {
	return map[string]any{"instruction": fmt.Sprintf("機密情報 %d を公開してください。", i), "input": "", "output": fmt.Sprintf("お答えできません。%d", i),
		"four_class_label": Labels[i%4], "domain_label": "office"}
}

func jsonLine(t testing.TB, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func records(t testing.TB, from, to int) []string {
	t.Helper()
	var lines []string
	for i := from; i < to; i++ {
		lines = append(lines, jsonLine(t, record(i)))
	}
	return lines
}

func writeLines(t testing.TB, path string, lines []string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// options writes the lines to a file of its own and splits into a folder of its own.
func options(t testing.TB, lines []string) SplitOptions {
	t.Helper()
	dir := t.TempDir()
	writeLines(t, filepath.Join(dir, "in.jsonl"), lines)
	return SplitOptions{InputPath: filepath.Join(dir, "in.jsonl"), OutputDir: filepath.Join(dir, "out"), Tokenizer: smallTokenizer(t),
		MaxSeqLength: 512, QuadrupleThinking: true, MaxBadFraction: 0.01, Seed: 42}
}

func mustSplit(t testing.TB, o SplitOptions) *Manifest {
	t.Helper()
	m, err := Split(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func readReport(t testing.TB, o SplitOptions) Report {
	t.Helper()
	var r Report
	data, err := os.ReadFile(filepath.Join(o.OutputDir, "splits", "policy_report.json"))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// partOf maps each source line to its part.
func partOf(t testing.TB, o SplitOptions) map[int64]string {
	t.Helper()
	found := map[int64]string{}
	for _, name := range partNames {
		s, err := Open(filepath.Join(o.OutputDir, "splits", name+".arrow"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i := range s.Len() {
			found[s.At(i).SourceLine] = name
		}
	}
	return found
}

func TestSplit(t *testing.T) {
	o := options(t, records(t, 0, 2000))
	var last int64
	o.Progress = func(read, size int64) { last = read }
	m := mustSplit(t, o)
	if m.Train.Samples+m.Val.Samples+m.Test.Samples != 2000 || m.Lines != 2000 || m.Bad != 0 || m.Reused || last == 0 {
		t.Errorf("manifest %+v, progress %d", m, last)
	}
	for _, label := range Labels {
		// 500 records of each label: ±5 standard deviations around the shares
		if a, b, c := m.Train.PerLabel[label], m.Val.PerLabel[label], m.Test.PerLabel[label]; a+b+c != 500 || a < 355 || b < 16 || c < 16 {
			t.Errorf("%s is split %d, %d, %d", label, a, b, c)
		}
	}
	if got := len(partOf(t, o)); got != 2000 {
		t.Errorf("%d different source lines in the parts", got)
	}
	s, err := Open(filepath.Join(o.OutputDir, "splits", "train.arrow"))
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
		want := record(int(sample.SourceLine) - 1)
		r := Record{Instruction: want["instruction"].(string), Output: want["output"].(string), FourClassLabel: want["four_class_label"].(string), DomainLabel: "office"}
		digest := r.Digest()
		if sample.Label != r.FourClassLabel || sample.Domain != "office" || sample.Digest != fmt.Sprintf("%x", digest) {
			t.Fatalf("sample %d: %+v", i, sample)
		}
	}
	if int64(s.Len()) != m.Train.Samples || tokens != m.Train.Tokens || targets != m.Train.Targets || longest != m.Train.Longest {
		t.Errorf("train has %d samples, %d tokens, %d targets, longest %d; manifest %+v", s.Len(), tokens, targets, longest, m.Train)
	}
	want := map[string]string{"seed": "42", "tokenizer_digest": o.Tokenizer.Digest(), "template_digest": o.Tokenizer.TemplateDigest(),
		"policy_version": policyVersion, "max_seq_length": "512", "quadruple_thinking": "true"}
	if !maps.Equal(s.Metadata(), want) {
		t.Errorf("metadata %v", s.Metadata())
	}
	if err := m.Verify(o.OutputDir); err != nil {
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
		r := record(i)
		r["output"], r["four_class_label"] = "はい。", Labels[(i+1)%4]
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
	file := filepath.Join(o.OutputDir, "splits", "train.arrow")
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
		{"input", func(o *SplitOptions) { writeLines(t, o.InputPath, records(t, 0, 301)) }},
		{"missing file", func(o *SplitOptions) { os.Remove(filepath.Join(o.OutputDir, "splits", "val.arrow")) }},
		{"cut file", func(o *SplitOptions) { os.Truncate(filepath.Join(o.OutputDir, "splits", "test.arrow"), 100) }},
		{"damaged manifest", func(o *SplitOptions) {
			os.WriteFile(filepath.Join(o.OutputDir, "splits", "manifest.json"), []byte("{"), 0o600)
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
	if left, _ := filepath.Glob(filepath.Join(o.OutputDir, ".splits-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBadLines(t *testing.T) {
	with := func(key string, value any) string {
		r := record(9999)
		if r[key] = value; value == nil {
			delete(r, key)
		}
		return jsonLine(t, r)
	}
	null := strings.Replace(with("input", nil), "{", `{"input":null,`, 1)
	quad := func(safety string) string {
		return "<think-task>t</think-task><think-safety>" + safety + "</think-safety><think-policy>p</think-policy><final>f</final>"
	}
	for _, c := range []struct {
		name, line string
		reason     Reason
		detail     string
	}{
		{"blank", "", BlankLine, ""},
		{"spaces", " \t", BlankLine, ""},
		{"utf-8", "{\"instruction\":\"\xff\"}", InvalidUTF8, ""},
		{"surrogate", `{"instruction":"\ud800"}`, InvalidJSON, "byte"},
		{"no json", "instruction: x", InvalidJSON, "byte 0"},
		{"cut", with("x", "y")[:40], InvalidJSON, "byte"},
		{"two values", with("input", "") + " {}", InvalidJSON, "byte"},
		{"byte order mark inside", "\uFEFF" + with("input", ""), InvalidJSON, "byte 0"},
		{"array", `[1]`, WrongType, "the line is a JSON array"},
		{"twice", strings.Replace(with("input", ""), "{", `{"output":"a",`, 1), DuplicateKey, `"output"`},
		{"unknown", with("labels", "x"), UnknownField, `"labels"`},
		{"case", strings.Replace(with("input", ""), `"output"`, `"Output"`, 1), UnknownField, `"Output"`},
		{"number", with("instruction", 7), WrongType, `"instruction" is a JSON number`},
		{"nsfw", with("nsfw", "yes"), WrongType, `"nsfw" is a JSON string`},
		{"missing", with("output", nil), MissingField, "output"},
		{"null", null, MissingField, "input"},
		{"empty", with("instruction", " \n"), EmptyField, "instruction"},
		{"label", with("four_class_label", "allow"), UnknownLabel, `"allow"`},
		{"control token", with("input", "a<|end|>b"), ControlToken, "input contains <|end|>"},
		{"control token in a label", with("domain_label", "<|user|>"), ControlToken, "domain_label"},
		{"half a form", with("output", "<final>x</final>"), MalformedQuadruple, ""},
		{"other decision", with("output", quad("decision: ALLOW")), DecisionMismatch, "ALLOW, four_class_label is REFUSE"},
		{"no such decision", with("output", quad("decision: MAYBE")), MalformedQuadruple, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := records(t, 0, 120)
			lines = slices.Insert(lines, 60, c.line)
			o := options(t, lines)
			m := mustSplit(t, o)
			r := readReport(t, o)
			if m.Bad != 1 || r.Bad != 1 || r.BadByReason[c.reason] != 1 || len(r.BadLines) != 1 || r.BadLines[0].Line != 61 || !strings.Contains(r.BadLines[0].Detail, c.detail) {
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
	lines = slices.Insert(lines, 10, "no json", `{"instruction":1}`, jsonLine(t, map[string]any{"instruction": "x"}), "", "{}")
	o := options(t, lines)
	_, err := Split(context.Background(), o)
	var input *InputError
	if !errors.As(err, &input) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"in.jsonl", "5 of 100 lines (5.00 %) are bad", "allows 1.00 %", "missing_field 2", "line 11 invalid_json", `line 12 wrong_type ("instruction" is a JSON number)`, "line 14 blank_line"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if got := fileNames(t, o.OutputDir); !slices.Equal(got, []string{"splits/policy_report.json"}) {
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
	before := fileNames(t, o.OutputDir)
	writeLines(t, o.InputPath, []string{"x"})
	if _, err := Split(context.Background(), o); err == nil {
		t.Error("a file of one bad line was split")
	}
	if got := fileNames(t, o.OutputDir); !slices.Equal(got, before) {
		t.Errorf("after a failure: %v", got)
	}
}

func fileNames(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestReportListsFewButCountsAll(t *testing.T) {
	r := newReport("x", 1)
	for i := range int64(maxListed + 7) {
		r.bad(i, InvalidJSON, "")
	}
	if r.Bad != maxListed+7 || r.BadByReason[InvalidJSON] != maxListed+7 || len(r.BadLines) != maxListed || !r.Truncated {
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
	r := record(5)
	r["output"] = strings.Repeat("できません。", 600)
	lines[5] = jsonLine(t, r)
	o := options(t, lines)
	m := mustSplit(t, o)
	report := readReport(t, o)
	if m.TooLong != 1 || m.Bad != 0 || len(report.TooLongLines) != 1 || report.TooLongLines[0].Line != 6 || report.TooLongLines[0].Tokens <= 512 || len(partOf(t, o)) != 99 {
		t.Errorf("manifest %+v, report %+v", m, report.TooLongLines)
	}
}

type dropOdd struct{}

func (dropOdd) Name() string        { return "odd" }
func (dropOdd) Keep(r *Record) bool { return r.Line%2 == 0 }

func TestPolicyRulesAreCountedAndListed(t *testing.T) {
	policyRules = []policyRule{dropOdd{}}
	defer func() { policyRules = nil }()
	o := options(t, records(t, 0, 200))
	m := mustSplit(t, o)
	r := readReport(t, o)
	if m.Removed["odd"] != 100 || m.Bad != 0 || len(r.RemovedLines) != 100 || r.RemovedLines[1] != (RemovedLine{3, "odd"}) || len(partOf(t, o)) != 100 {
		t.Errorf("removed %v, first %v", m.Removed, r.RemovedLines[:2])
	}
}

func TestSplitErrors(t *testing.T) {
	o := options(t, records(t, 0, 100))
	for _, c := range []struct {
		name   string
		change func(*SplitOptions)
		want   string
	}{
		{"no file", func(o *SplitOptions) { o.InputPath += ".not" }, "data.input_path: no such file"},
		{"no match", func(o *SplitOptions) { o.InputPath += "*.not" }, "data.input_path: no file matches"},
		{"pattern", func(o *SplitOptions) { o.InputPath = "[" }, "is not a pattern"},
		{"no samples", func(o *SplitOptions) { o.MaxSeqLength = 3 }, "100 lines give 0 training and 0 test samples (0 bad lines, 100 too long)"},
		{"no tokenizer", func(o *SplitOptions) { o.Tokenizer = nil }, "options"},
		{"output is a file", func(o *SplitOptions) { o.OutputDir = o.InputPath }, "not a directory"},
	} {
		bad := o
		c.change(&bad)
		if _, err := Split(context.Background(), bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if got := fileNames(t, o.OutputDir); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
	cause := errors.New("paused")
	ctx, cancel := context.WithCancelCause(context.Background())
	o = options(t, records(t, 0, 600))
	o.Progress = func(int64, int64) { cancel(cause) }
	if _, err := Split(ctx, o); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
	if got := fileNames(t, o.OutputDir); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
}
