package decision

import (
	"math"
	"slices"
	"testing"

	"so8t/quadruple"
)

// Whatever the lengths, the four stand for complete lines: probabilities are those of the sums.
func TestOf(t *testing.T) {
	near := func(got, want float64) bool { return math.Abs(got-want) < 1e-12 }
	d, err := Of([]float64{math.Log(0.02), math.Log(0.01), math.Log(0.05), math.Log(0.02)})
	if err != nil || d.Label != "DENY" || !near(d.Confidence, 0.5) || !near(d.Probabilities[quadruple.Deny], 0.5) ||
		!near(d.Probabilities[quadruple.Escalation], 0.1) {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err = Of([]float64{-5000, -5001, -6000, -7000}); err != nil || d.Label != "ALLOW" || !near(d.Confidence, 1/(1+math.Exp(-1))) {
		t.Errorf("scores far below what exp can hold: %+v, %v", d, err)
	}
	if d, err = Of([]float64{-1, -3, -1, -3}); err != nil || d.Label != "DENY" {
		t.Errorf("of two equal labels %s was taken, %v", d.Label, err)
	}
	if d, err = Of([]float64{math.Inf(-1), -1, math.Inf(-1), math.Inf(-1)}); err != nil || d.Confidence != 1 {
		t.Errorf("one possible label: %+v, %v", d, err)
	}
	for _, bad := range [][]float64{{-1, math.NaN(), -1, -1}, {math.Inf(1), -1, -1, -1}, {-1, -1, -1}, slices.Repeat([]float64{math.Inf(-1)}, 4)} {
		if _, err := Of(bad); err == nil {
			t.Errorf("scores %v were accepted", bad)
		}
	}
}

func TestCommonPrefix(t *testing.T) {
	for _, c := range []struct {
		of   [][]int32
		want int
	}{
		{[][]int32{{1, 2, 3}, {1, 2, 4}, {1, 2}}, 2},
		{[][]int32{{1}, {2}}, 0},
		{[][]int32{{1, 2}, {1, 2}}, 2},
		{[][]int32{{}, {1}}, 0},
	} {
		if got := commonPrefix(c.of); got != c.want {
			t.Errorf("common prefix of %v is %d", c.of, got)
		}
	}
}
