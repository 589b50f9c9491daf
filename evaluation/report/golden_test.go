package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"so8t/evaluation"
	"so8t/evaluation/evaluationtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata, byte by byte; go test ./evaluation/report -run Golden -update writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: -update writes it", err)
	}
	if bytes.Equal(got, want) {
		return
	}
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(gotLines), len(wantLines)) {
		var a, b []byte
		if i < len(gotLines) {
			a = gotLines[i]
		}
		if i < len(wantLines) {
			b = wantLines[i]
		}
		if !bytes.Equal(a, b) {
			t.Fatalf("%s differs from line %d on:\n got %.400q\nwant %.400q", path, i+1, a, b)
		}
	}
}

// What a reader sees of two evaluations, one promoted and one not: the page, its plots, the results
// and the table of the terminal.
func TestGolden(t *testing.T) {
	for name, tc := range map[string]struct {
		retrained func(i, gold int) int
		data      Data
	}{
		"promoted":     {evaluationtest.MostlyRight, reportData()},
		"not_promoted": {evaluationtest.ByChance, Data{}}, // nothing known of the run, and no loss curve
	} {
		t.Run(name, func(t *testing.T) {
			base := evaluationtest.New(t, 80, true, func(i, gold int) int { return evaluationtest.ByChance(i+1, gold) })
			r := evaluationtest.Compare(t, base, evaluationtest.New(t, 80, true, tc.retrained), evaluation.CompareOptions{Seed: 1, Resamples: 400})
			dir, _ := writeReport(t, r, tc.data)
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				text, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				golden(t, filepath.Join(name, e.Name()), text)
			}
			golden(t, filepath.Join(name, "table.txt"), []byte(Table(r)))
			if expected, _ := os.ReadDir(filepath.Join("testdata", name)); len(expected) != len(entries)+1 {
				t.Errorf("%d files are written, %d are golden", len(entries)+1, len(expected))
			}
		})
	}
}
