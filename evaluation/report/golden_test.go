package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"so8t/evaluation"
	"so8t/evaluation/evaluationtest"
	"so8t/page/pagetest"
)

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
			goldenReport(t, name, r, tc.data)
		})
	}
}

// goldenReport compares all files of a report, and the table.
func goldenReport(t *testing.T, name string, r *evaluation.Result, d Data) {
	t.Helper()
	dir, page := writeReport(t, r, d)
	pagetest.CheckHTML(t, page)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		pagetest.Golden(t, filepath.Join(name, e.Name()), text)
	}
	pagetest.Golden(t, filepath.Join(name, "table.txt"), []byte(Table(r)))
	if expected, _ := os.ReadDir(filepath.Join("testdata", name)); len(expected) != len(entries)+1 {
		t.Errorf("%d files are written, %d are golden", len(entries)+1, len(expected))
	}
}

// A run without labels: no matrix, no class, no rate. Every fourth sample has a near twin in training.
func TestGoldenPlain(t *testing.T) {
	base := evaluationtest.NewPlain(t, 60, func(i int) float64 { return 2.2 + float64(i*i%17)/10 })
	learnt := evaluationtest.NewPlain(t, 60, func(i int) float64 { return 1.6 + float64(i*i%17)/10 + float64(i*7%13)/16 })
	worse := evaluationtest.NewPlain(t, 60, func(i int) float64 { return 2.2 + float64(i*i%17)/10 + float64(i%5-1)/8 })
	o := evaluation.CompareOptions{Seed: 1, Resamples: 400, NearDuplicates: true, Promotion: evaluation.Promotion{MinLossReduction: 0.1}}
	goldenReport(t, "plain_promoted", evaluationtest.Compare(t, base, learnt, o), reportData())
	goldenReport(t, "plain_rejected", evaluationtest.Compare(t, base, worse, evaluation.CompareOptions{Seed: 1, Resamples: 400}), Data{})
}

// Near duplicates add to the page, the table and the results, and change nothing else.
func TestNearDuplicates(t *testing.T) {
	base, retrained := evaluationtest.New(t, 80, true, evaluationtest.ByChance), evaluationtest.New(t, 80, true, evaluationtest.MostlyRight)
	for _, e := range []*evaluation.Evaluation{base, retrained} {
		for i := range e.Decisions {
			e.Decisions[i].NearDuplicate = i%8 == 0
		}
	}
	o := evaluation.CompareOptions{Seed: 1, Resamples: 400}
	unsaid := evaluationtest.Compare(t, base, retrained, o)
	o.NearDuplicates = true
	said := evaluationtest.Compare(t, base, retrained, o)
	_, before := writeReport(t, unsaid, Data{})
	_, page := writeReport(t, said, Data{})
	from, to := strings.Index(page, `<section id="near-duplicates">`), strings.Index(page, `<section id="tests">`)
	if from < 0 || page[:from]+page[to:] != before {
		t.Error("near duplicates change more of the page than their own section, or have none")
	}
	for _, text := range []string{page, Table(said)} {
		if !strings.Contains(text, "10 of the 80 test samples have a near twin in training") {
			t.Errorf("near duplicates are not counted in\n%.2000s", text)
		}
	}
	if strings.Contains(before+Table(unsaid), "near twin") {
		t.Error("something is said of near duplicates that were not looked for")
	}
	if a := said.Apart; a.Samples != 70 || a.Retrained.Accuracy == said.Retrained.Accuracy || a.Base.ApartRates == nil {
		t.Errorf("without near duplicates: %+v", a)
	}
}
