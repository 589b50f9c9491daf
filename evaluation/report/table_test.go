package report

import (
	"strings"
	"testing"

	"so8t/evaluation"
	"so8t/evaluation/evaluationtest"
)

func TestTable(t *testing.T) {
	r := evaluationtest.Promoted(t, evaluation.CompareOptions{Seed: 1})
	table := Table(r)
	t.Logf("\n%s", table)
	lines := strings.Split(table, "\n")
	width := len([]rune(lines[1]))
	for _, line := range lines[2:5] { // those with all columns end where the rule does
		if len([]rune(line)) != width {
			t.Errorf("%q is %d wide, the rule %d", line, len([]rune(line)), width)
		}
	}
	for _, want := range []string{"96.0 %", "macro F1", "verdict: promote", "200 test samples", "p = " + r.McNemar.PValueText} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q", want)
		}
	}
	if strings.Contains(table, "NaN") {
		t.Error("NaN in the table")
	}
}
