package evaluation

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"testing"
)

// scipyLosses is testdata/losses.json.
type scipyLosses struct {
	Wilcoxon []struct {
		Name        string
		Differences []float64
		Exact       bool
		Smaller     float64 `json:"smaller_rank_sum"`
		P           float64
	}
	Bootstrap struct {
		Tokens          []int
		Base, Retrained []float64
		Low, High       float64
	}
	Tails []struct {
		Z    float64
		LogP float64 `json:"log_p"`
	} `json:"normal_tails"`
}

func scipy(t *testing.T) (s scipyLosses) {
	t.Helper()
	text, err := os.ReadFile("testdata/losses.json")
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWilcoxonAsSciPy(t *testing.T) {
	for _, c := range scipy(t).Wilcoxon {
		w := wilcoxon(c.Differences)
		if w.Exact != c.Exact || math.Min(w.RankSumLower, w.RankSumHigher) != c.Smaller || math.Abs(float64(w.PValue)/c.P-1) > 1e-12 {
			t.Errorf("%s: p = %v, rank sums %v and %v, exact %t; SciPy says p = %v, %v, %t",
				c.Name, float64(w.PValue), w.RankSumLower, w.RankSumHigher, w.Exact, c.P, c.Smaller, c.Exact)
		}
		if n := w.Lower + w.Higher + w.Equal; n != len(c.Differences) {
			t.Errorf("%s: %d of %d differences are counted", c.Name, n, len(c.Differences))
		}
	}
}

// With thousands of samples p is far below the smallest float64, and its logarithm still right.
func TestNormalTailsAsSciPy(t *testing.T) {
	for _, c := range scipy(t).Tails {
		if got := logErfc(c.Z / math.Sqrt2); math.Abs(got/c.LogP-1) > 1e-12 {
			t.Errorf("z = %v: ln p = %v, SciPy says %v", c.Z, got, c.LogP)
		}
	}
	falls := make([]float64, 10000)
	for i := range falls {
		falls[i] = -1 - float64(i)/1e6
	}
	w := wilcoxon(falls)
	if w.PValue != smallestPValue || w.Log10PValue > -1600 || w.PValueText == "" || w.RankSumHigher != 0 {
		t.Errorf("10,000 falls: %+v", w)
	}
}

func TestWilcoxonOfNothing(t *testing.T) {
	if w := wilcoxon([]float64{0, 0, 0}); w.PValue != 1 || w.Equal != 3 || w.PValueText != "1" {
		t.Errorf("without a difference: %+v", w)
	}
}

func TestBootstrapLossAsSciPy(t *testing.T) {
	c := scipy(t).Bootstrap
	pairs := make([]lossPair, len(c.Tokens))
	for i := range pairs {
		pairs[i] = lossPair{c.Base[i], c.Retrained[i], c.Tokens[i]}
	}
	l := bootstrapLoss(pairs, 50000, 0.95, 7)
	for _, bound := range [][2]float64{{l.Low, c.Low}, {l.High, c.High}} {
		if width := c.High - c.Low; math.Abs(bound[0]-bound[1]) > 0.02*width { // some three standard errors of 50,000 resamples
			t.Errorf("bound %v, SciPy says %v", bound[0], bound[1])
		}
	}
	if again := bootstrapLoss(pairs, 50000, 0.95, 7); !reflect.DeepEqual(again, l) {
		t.Error("the same seed gave another interval")
	}
	sum, tokens := 0.0, 0
	for _, p := range pairs {
		sum, tokens = sum+p.retrained-p.base, tokens+p.tokens
	}
	near(t, "difference", l.Difference, sum/float64(tokens))
}

func TestBinsOf(t *testing.T) {
	for _, changes := range [][]float64{
		{-0.5, -0.25, 0.125, 0}, {1e-9, -3e-9}, {0, 0}, {-4, -4}, {3}, {-1.37, -0.2, 250}, {-0.9999, 0.0001},
	} {
		bins := binsOf(changes)
		n := 0
		for i, b := range bins {
			n += b.Samples
			if i > 0 && b.From != bins[i-1].To {
				t.Errorf("%v: bin %d is %+v behind %+v", changes, i, b, bins[i-1])
			}
			if b.From < 0 && b.To > 0 {
				t.Errorf("%v: a bin holds rises and falls: %+v", changes, b)
			}
		}
		if n != len(changes) || len(bins) > lossBins {
			t.Errorf("%v: %d changes in %d bins", changes, n, len(bins))
		}
	}
}
