package card

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"so8t/dataset"
	"so8t/dataset/record"
	"so8t/dataset/source"
	"so8t/page"
	"so8t/page/pagetest"
	"so8t/policy"
)

// hostile is a name that would end a line, open a tag or close a cell.
const hostile = "<script>alert(1)</script>|`*x*`[a](b)_c_\n# 表\u202e"

func fullSplit() (*dataset.Manifest, *dataset.Report) {
	digest := func(c string) string { return strings.Repeat(c, 64) }
	per := func(a, e, d, r int64) map[string]int64 {
		return map[string]int64{"ALLOW": a, "ESCALATION": e, "DENY": d, "REFUSE": r}
	}
	m := &dataset.Manifest{FormatVersion: 3, DatasetDigest: digest("3"), Lines: 2000, Options: dataset.Options{
		TokenizerDigest: digest("a"), TemplateDigest: digest("b"), MaxSeqLength: 2048, QuadrupleThinking: true, Seed: 42, PolicyVersion: digest("c"),
		Records: record.Options{FourClass: true}, TrainOn: "last", NearDuplicates: "report 0.8"},
		Train: dataset.PartInfo{Samples: 1440, Tokens: 301_234, Targets: 120_004, Longest: 1987, PerLabel: per(600, 240, 300, 300), SHA256: digest("d")},
		Val:   dataset.PartInfo{Samples: 180, Tokens: 36_001, Targets: 15_100, Longest: 1500, PerLabel: per(75, 30, 38, 37), SHA256: digest("e")},
		Test:  dataset.PartInfo{Samples: 181, Tokens: 37_120, Targets: 15_555, Longest: 1712, PerLabel: per(76, 30, 38, 37), SHA256: digest("f")},
	}
	lengths := func(n ...int64) *dataset.Statistics {
		s := &dataset.Statistics{}
		for i, v := range n {
			s.Lengths = append(s.Lengths, dataset.LengthBin{UpTo: 32 << i, Samples: v})
		}
		return s
	}
	r := &dataset.Report{
		Inputs: []source.File{{Path: "/データ/四分類 その1.jsonl.gz", Size: 1_234_567, SHA256: digest("1"), Format: "jsonl", Compression: "gzip"},
			{Path: "/data/" + hostile + ".parquet", Size: 980, SHA256: digest("2"), Format: "parquet"}},
		Seen: record.Seen{Formats: map[string]int64{"alpaca": 1900, "messages": 88},
			UnknownColumns: map[string]int64{"nsfw_label": 1900, hostile: 3, "題名": 1900},
			FoldedLabels:   map[string]int64{"ＤＥＮＹ → DENY": 12, "allow → ALLOW": 40}},
		Lines: 2000, Bad: 12, BadByReason: map[record.Reason]int64{"unknown_label": 9, "invalid_json": 3}, MaxSeqLength: 2048, TooLong: 7,
		PolicyVersion: digest("c"), Policy: policy.Default(),
		Removed:   map[string]int64{"pii:email": 120, "pii:phone": 40, "confidential": 15, "robots": 5},
		PIIByKind: map[string]int64{"email": 120, "phone": 40}, MaskedByKind: map[string]int64{"postal_address": 31},
		Robots: map[string]dataset.RobotsUse{
			"news.example.jp": {Records: 40, Removed: 5,
				Authority: policy.Authority{File: "news.example.jp/robots.txt", SHA256: digest("9"), Status: 200, FetchedAt: "2026-01-02"}},
			"xn--wgv71a119e.jp": {Authority: policy.Authority{Status: 404}, Records: 7}},
		MissingRobots: []string{"other.example.com"}, Licenses: map[string]int64{"CC-BY-4.0": 1200, "": 700, "独自": 100},
		NotLookedFor: []string{"names", "dates of birth", "health"}, Duplicates: 24,
		NearDuplicates: &dataset.NearDuplicates{Threshold: 0.8, Val: 3, Test: 5},
		Parts: map[string]*dataset.Statistics{
			"train": lengths(2, 60, 700, 500, 150, 28), "val": lengths(0, 8, 90, 60, 20, 2), "test": lengths(1, 7, 88, 62, 20, 2, 1)},
		Truncated: true,
	}
	r.Policy.Robots, r.Policy.RobotsDir, r.Policy.PIIKinds = "require", "/robots", map[string]string{"postal_address": "mask", "corporate_number": "keep"}
	return m, r
}

func plainSplit() (*dataset.Manifest, *dataset.Report) {
	m, r := fullSplit()
	m.Options.Records.FourClass, m.Options.QuadrupleThinking = false, false
	m.Options.TrainOn, m.Options.PolicyVersion = "assistant", ""
	for _, p := range []*dataset.PartInfo{&m.Train, &m.Val, &m.Test} {
		p.PerLabel = map[string]int64{}
	}
	seen := record.Seen{Formats: map[string]int64{"sharegpt": 1801}}
	return m, &dataset.Report{Inputs: r.Inputs[:1], Seen: seen, Lines: 1801, MaxSeqLength: 2048, Parts: r.Parts}
}

func write(t *testing.T, m *dataset.Manifest, r *dataset.Report) (dir string, files map[string][]byte) {
	t.Helper()
	dir = t.TempDir()
	if shown := os.Getenv("CARD_DIR"); shown != "" {
		dir = filepath.Join(shown, t.Name())
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(dir, m, r); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return dir, files
}

func TestGolden(t *testing.T) {
	for name, split := range map[string]func() (*dataset.Manifest, *dataset.Report){"four_class": fullSplit, "plain": plainSplit} {
		t.Run(name, func(t *testing.T) {
			m, r := split()
			_, files := write(t, m, r)
			for file, text := range files {
				pagetest.Golden(t, filepath.Join(name, file), text)
			}
			if expected, _ := os.ReadDir(filepath.Join("testdata", name)); len(expected) != len(files) {
				t.Errorf("%d files are written, %d are golden", len(files), len(expected))
			}
			pagetest.CheckHTML(t, string(files[PageName]))
			for range 5 {
				if _, again := write(t, m, r); !reflect.DeepEqual(again, files) {
					t.Fatal("the same split gives other bytes")
				}
			}
		})
	}
}

// A name of the data stays a name, in both forms.
func TestNamesAreEscaped(t *testing.T) {
	m, r := fullSplit()
	_, files := write(t, m, r)
	for name, text := range files {
		for _, bad := range []string{"<script>", "\u202e", "\n# 表"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
	}
	for _, line := range strings.Split(string(files[MarkdownName]), "\n") {
		if strings.HasPrefix(line, "|") && strings.Contains(line, "script") && strings.Contains(line, "parquet") {
			if got := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); got != 5 {
				t.Errorf("a row of 4 cells has %d bars: %s", got, line)
			}
		}
	}
	for text, want := range map[string]string{
		"max_seq_length": "max_seq_length", "_x_": `\_x\_`, "a|b": `a\|b`, "<b>&": "&lt;b&gt;&amp;", "`c`": "\\`c\\`", "日本_語": "日本_語",
	} {
		if got := escape(text); got != want {
			t.Errorf("escape(%q) = %q, want %q", text, got, want)
		}
	}
}

// Nothing is said of what was not there, and an empty or an old split gives a card all the same.
func TestCardOfLittle(t *testing.T) {
	m, r := plainSplit()
	_, files := write(t, m, r)
	for _, absent := range []string{"robots.txt of", "Licences", "ALLOW"} {
		if strings.Contains(string(files[MarkdownName]), absent) {
			t.Errorf("a plain split's card speaks of %s", absent)
		}
	}
	if !strings.Contains(string(files[MarkdownName]), "no labels") || !strings.Contains(string(files[MarkdownName]), "Personal data was not looked for") {
		t.Errorf("the card does not say what it lacks:\n%s", files[MarkdownName])
	}
	for _, version := range []string{"none", strings.Repeat("c", 64)} {
		m, r := fullSplit()
		r.PolicyVersion, r.Policy.PII, r.Policy.PIIKinds, r.PIIByKind, r.MaskedByKind = version, "keep", nil, nil, nil
		if _, files := write(t, m, r); !strings.Contains(string(files[MarkdownName]), "Personal data was not looked for") {
			t.Errorf("policy version %q: the card does not say that personal data was kept", version)
		}
	}
	write(t, &dataset.Manifest{}, &dataset.Report{})
	var old dataset.Report
	if err := json.Unmarshal([]byte(`{"input_path":"/a.jsonl","lines":3,"bad_by_reason":{"invalid_json":1},"removed_by_rule":{}}`), &old); err != nil {
		t.Fatal(err)
	}
	write(t, &dataset.Manifest{FormatVersion: 2, InputPath: "/a.jsonl", Train: dataset.PartInfo{Samples: 2, PerLabel: map[string]int64{"DENY": 2}}}, &old)
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 12: "12", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := page.Number(n); got != want {
			t.Errorf("page.Number(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1.0 kB", 999_999: "1.0 MB", 1_234_567: "1.2 MB", 5e12: "5.0 TB"} {
		if got := bytesInWords(n); got != want {
			t.Errorf("bytesInWords(%d) = %s, want %s", n, got, want)
		}
	}
}
