package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"so8t/activities"
	"so8t/dataset"
	"so8t/tokenizer"
	"so8t/worker/table"
)

// input writes 200 good records, and lines after them.
func input(t *testing.T, more ...string) string {
	t.Helper()
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf(`{"instruction":"質問 %d","input":"","output":"答え %d","four_class_label":"%s","license":"CC0-1.0","メモ":"あ"}`,
			i, i, []string{"ALLOW", "escalation", "DENY", "REFUSE"}[i%4]))
	}
	path := filepath.Join(t.TempDir(), "データ.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(append(lines, more...), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, c Check) (string, error) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	err := c.run(t.Context(), &out, io.Discard)
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return out.String(), err
}

// wantLines holds the output against lines, whose runs of spaces stand for any number of them.
func wantLines(t *testing.T, out string, want ...string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	for _, line := range want {
		if !slices.Contains(lines, line) {
			t.Errorf("no line %q in\n%s", line, out)
		}
	}
}

// A file alone needs neither configuration nor model, and every line that is lost has its reason and place.
func TestCheckAFile(t *testing.T) {
	path := input(t, `{"instruction":"x"}`, `{"instruction":"nsfw","input":"","output":"o","four_class_label":"DENY","nsfw":true}`)
	out, err := run(t, Check{Files: []string{path}, Set: []string{"policy.nsfw=drop"}})
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, out, "read 202", "as alpaca 201", "bad 1 0.50 % data.max_bad_fraction allows 1.00 %", "removed by the policy 1 0.50 %",
		"nsfw 1 at line 202", "CC0-1.0 200", "メモ 200", "escalation → ESCALATION 50", "a run would take these data",
		"no tokens are counted: --base-model DIR counts them, and tries its chat template")
	if !strings.Contains(out, "at line 201 (") || !strings.Contains(out, path) {
		t.Error(out)
	}
	if strings.Contains(out, "nsfw\",") || strings.Contains(out, "質問") {
		t.Errorf("a record's text is shown:\n%s", out)
	}
}

func TestCheckCountsTokensWithATokenizer(t *testing.T) {
	path := input(t)
	out, err := run(t, Check{Files: []string{path}, BaseModel: "../../demo/base"})
	if err != nil || !strings.Contains(out, "in the loss") || !strings.Contains(out, "█") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Samples that are too long have their places too, and what is not there is not spoken of.
func TestCheckNamesWhatIsTooLong(t *testing.T) {
	long := fmt.Sprintf(`{"instruction":"%s","input":"","output":"o","four_class_label":"DENY"}`, strings.Repeat("長い話。", 2000))
	out, err := run(t, Check{Files: []string{input(t, long, long)}, BaseModel: "../../demo/base"})
	if err != nil || !strings.Contains(out, "\ntoo long: the longest has ") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, want := range []string{"\n  line 201  ", "\n  line 202  "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out, err = run(t, Check{Files: []string{empty(t)}, BaseModel: "../../demo/base"})
	if err == nil || strings.Contains(out, "by length") || strings.Contains(out, "they stay") || strings.Contains(out, "too long:") {
		t.Errorf("%v\n%s", err, out)
	}
}

// empty writes records none of which can be used.
func empty(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.jsonl")
	if err := os.WriteFile(path, []byte(strings.Repeat("{}\n", 20)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a run would refuse is refused with the run's words.
func TestCheckRefusesWhatARunRefuses(t *testing.T) {
	path := input(t, strings.Repeat("no JSON\n", 20))
	out, refused := run(t, Check{Files: []string{path}, BaseModel: "../../demo/base"})
	tok, err := tokenizer.Load("../../demo/base")
	if err != nil {
		t.Fatal(err)
	}
	config, err := (&Check{Files: []string{path}}).config()
	if err != nil {
		t.Fatal(err)
	}
	o, err := activities.SplitOptions(*config)
	if err != nil {
		t.Fatal(err)
	}
	o.Paths, o.Tokenizer, o.Dir = []string{path}, tok, filepath.Join(t.TempDir(), "splits")
	_, err = dataset.Split(t.Context(), o)
	said, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprint(err), "split dataset: "), "; all are listed in ")
	if err == nil || fmt.Sprint(refused) != "check dataset: "+said {
		t.Errorf("check: %v\nsplit: %v", refused, err)
	}
	wantLines(t, out, "bad 20 9.09 % data.max_bad_fraction allows 1.00 %")
	if strings.Contains(out, "a run would take") {
		t.Error(out)
	}
	for name, c := range map[string]Check{
		"nothing":                   {},
		"no such file":              {Files: []string{"/no/such.jsonl"}},
		"an unknown key":            {Files: []string{path}, Set: []string{"data.form=x"}},
		"robots without a folder":   {Files: []string{path}, Set: []string{"policy.robots=require"}},
		"a base without a template": {Files: []string{path}, BaseModel: t.TempDir()},
	} {
		if out, err := run(t, c); err == nil || strings.Contains(err.Error(), "\n") || out != "" {
			t.Errorf("%s: %v, %q", name, err, out)
		}
	}
}

func TestCheckAsJSON(t *testing.T) {
	out, err := run(t, Check{Files: []string{input(t, "x")}, JSON: true, Set: []string{"data.max_bad_fraction=0"}})
	var got Result
	if decoding := json.Unmarshal([]byte(out), &got); decoding != nil || err == nil {
		t.Fatalf("%v, %v: %s", decoding, err, out)
	}
	if got.Report.Bad != 1 || got.Report.Lines != 201 || got.Refused != err.Error() {
		t.Errorf("%+v", got)
	}
}

// The base model of a configuration may be on another machine; the run's own keys apply.
func TestCheckAConfiguration(t *testing.T) {
	path := input(t)
	config := filepath.Join(t.TempDir(), "c.yaml")
	text := fmt.Sprintf("output_dir: o\nmodel: {base_model_path: /elsewhere/base}\ndata:\n  input_path: %q\n  unknown_columns: refuse\n", path)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, Check{Config: config})
	if err == nil || !strings.Contains(out, "unknown_field") || !strings.Contains(out, "there is no /elsewhere/base here (model.base_model_path)") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = run(t, Check{Config: config, Set: []string{"data.unknown_columns=count"}}); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]table.Amount{0: "0 B", 999: "999 B", 1000: "1.0 kB", 123456789: "123.5 MB", 5e12: "5.0 TB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
