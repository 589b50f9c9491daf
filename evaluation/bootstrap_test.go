package evaluation

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// drawPairs makes n samples, the base right with probability base, the retrained with the given
// probability, independently; half of the gold labels are ALLOW, half DENY.
func drawPairs(random *rand.Rand, n int, base, retrained float64) []pair {
	pairs := make([]pair, n)
	for i := range pairs {
		gold, wrong := uint8(allow), uint8(deny)
		if i%2 == 1 {
			gold, wrong = wrong, gold
		}
		p := pair{gold: gold, base: wrong, retrained: wrong}
		if random.Float64() < base {
			p.base = gold
		}
		if random.Float64() < retrained {
			p.retrained = gold
		}
		pairs[i] = p
	}
	return pairs
}

var accuracyAndFalseAllow = []statistic{Confusion.accuracy, Confusion.falseAllowRate}

func TestBootstrapIsAFunctionOfItsSeed(t *testing.T) {
	pairs := drawPairs(rand.New(rand.NewPCG(1, 1)), 200, 0.6, 0.7)
	a := bootstrap(pairs, accuracyAndFalseAllow, 500, 0.95, 7)
	if b := bootstrap(pairs, accuracyAndFalseAllow, 500, 0.95, 7); !reflect.DeepEqual(a, b) {
		t.Errorf("the same seed gave %+v and %+v", a, b)
	}
	if b := bootstrap(pairs, accuracyAndFalseAllow, 500, 0.95, 8); reflect.DeepEqual(a, b) {
		t.Errorf("another seed gave the same draws: %+v", a)
	}
}

// 400 experiments with a known difference: a 90 % interval must hold it about 360 times
// (standard deviation 6; the bounds are 4 of them, and a little for discreteness).
func TestBootstrapCoverage(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 3))
	held := [2]int{}
	for i := range 400 {
		pairs := drawPairs(random, 300, 0.60, 0.72)
		for j, d := range bootstrap(pairs, accuracyAndFalseAllow, 400, 0.90, uint64(i)) {
			truth := 0.12
			if j == 1 {
				truth = -0.12 // a wrong DENY is an ALLOW here
			}
			held[j] += one(d.Low <= truth && truth <= d.High)
		}
	}
	for j, n := range held {
		if n < 332 || n > 386 {
			t.Errorf("figure %d: the 90 %% interval held the truth in %d of 400 experiments", j, n)
		}
	}
}

// Under "no difference" a p-value below 0.1 must come in about a tenth of the experiments.
func TestBootstrapPValueUnderNoDifference(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 5))
	below := 0
	for i := range 400 {
		d := bootstrap(drawPairs(random, 300, 0.65, 0.65), accuracyAndFalseAllow[:1], 400, 0.95, uint64(i))
		below += one(d[0].PValue < 0.1)
	}
	if below < 16 || below > 66 { // 40 ± 4 standard deviations of 6
		t.Errorf("p < 0.1 in %d of 400 experiments without a difference", below)
	}
}

func TestBootstrapAgreesWithTheNormalApproximation(t *testing.T) {
	// Of 1,000 samples in one stratum both are right on 500, both wrong on 400, 20 and 80 are discordant: the standard
	// error of the paired difference is sqrt(b + c − (c − b)²/n)/n = 0.009818; unpaired it would be 0.0222.
	var pairs []pair
	for i := range 1000 {
		p := pair{gold: deny, base: deny, retrained: deny}
		switch {
		case i < 20:
			p.retrained = allow
		case i < 100:
			p.base = allow
		case i < 500:
			p.base, p.retrained = allow, allow
		}
		pairs = append(pairs, p)
	}
	d := bootstrap(pairs, accuracyAndFalseAllow, 20000, 0.95, 1)[0]
	if math.Abs(d.Difference-0.06) > 1e-12 {
		t.Errorf("difference %v, want 0.06", d.Difference)
	}
	half := 1.959964 * 0.009818
	if math.Abs(d.Low-(0.06-half)) > 1.5e-3 || math.Abs(d.High-(0.06+half)) > 1.5e-3 {
		t.Errorf("interval [%v, %v], the normal approximation is 0.06 ± %v", d.Low, d.High, half)
	}
	if want := PValue(2.0 / 20001); d.PValue < want || d.PValue > 4*want {
		t.Errorf("p = %v: no draw should reach 0, so it must be near %v, and never below", d.PValue, want)
	}
}

func TestBootstrapWithoutAnyDifference(t *testing.T) {
	pairs := []pair{{allow, allow, allow}, {deny, allow, allow}, {refuse, refuse, refuse}}
	for i, d := range bootstrap(pairs, accuracyAndFalseAllow, 200, 0.95, 1) {
		if d.Difference != 0 || d.Low != 0 || d.High != 0 || d.PValue != 1 {
			t.Errorf("figure %d of equal models: %+v", i, d)
		}
	}
}

func TestQuantile(t *testing.T) {
	for q, want := range map[float64]float64{0: 1, 0.5: 2.5, 1: 4, 0.25: 1.75} { // R: quantile(1:4)
		if got := quantile([]float64{1, 2, 3, 4}, q); got != want {
			t.Errorf("quantile %g is %g, want %g", q, got, want)
		}
	}
}
