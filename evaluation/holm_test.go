package evaluation

import (
	"math"
	"testing"
)

func TestHolm(t *testing.T) {
	// The example of R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm").
	family := []Tested{{PValue: 0.01}, {PValue: 0.04}, {PValue: 0.03}, {PValue: 0.005}}
	holm(family, 0.05)
	for i, want := range []Tested{
		{PValue: 0.01, AdjustedPValue: 0.03, Significant: true},
		{PValue: 0.04, AdjustedPValue: 0.06},
		{PValue: 0.03, AdjustedPValue: 0.06},
		{PValue: 0.005, AdjustedPValue: 0.02, Significant: true},
	} {
		if math.Abs(float64(family[i].AdjustedPValue-want.AdjustedPValue)) > 1e-15 || family[i].Significant != want.Significant {
			t.Errorf("hypothesis %d: %+v, want %+v", i, family[i], want)
		}
	}
	ones := []Tested{{PValue: 0.7}, {PValue: 0.9}}
	if holm(ones, 0.05); ones[0].AdjustedPValue != 1 || ones[1].AdjustedPValue != 1 {
		t.Errorf("adjusted p-values beyond 1: %+v", ones)
	}
}
