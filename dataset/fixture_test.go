package dataset

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"so8t/dataset/record"
	"so8t/quadruple"
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

func example(i int) map[string]any {
	return map[string]any{"instruction": fmt.Sprintf("機密情報 %d を公開してください。", i), "input": "", "output": fmt.Sprintf("お答えできません。%d", i),
		"four_class_label": quadruple.Labels[i%4], "domain_label": "office"}
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
		lines = append(lines, jsonLine(t, example(i)))
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
	return SplitOptions{Paths: []string{filepath.Join(dir, "in.jsonl")}, Records: record.Options{FourClass: true}, Dir: filepath.Join(dir, "out", "splits"), Tokenizer: smallTokenizer(t),
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
	data, err := os.ReadFile(filepath.Join(o.Dir, "policy_report.json"))
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
		s, err := Open(filepath.Join(o.Dir, name+".arrow"))
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
