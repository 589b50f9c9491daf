package evaluation

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Difference is retrained − base of one figure, with its paired bootstrap interval.
type Difference struct {
	Base       float64 `json:"base"`
	Retrained  float64 `json:"retrained"`
	Difference float64 `json:"difference"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	PValue     PValue  `json:"p_value"` // two-sided, of "no difference"
}

// pair is one sample as both models decided it, as indices into Labels.
type pair struct{ gold, base, retrained uint8 }

// statistic is a figure that follows from the confusion matrix alone.
type statistic func(Confusion) float64

// bootstrap resamples the samples with replacement, both models' decisions together, and
// returns one Difference per statistic.
//
// Resampling is stratified by gold label, as the test part itself was drawn: every
// resample holds each label as often as the test part does, so that rates over one
// label have a constant denominator. Intervals are percentile intervals of the given
// confidence. The p-value is 2·min(1 + #{d* ≤ 0}, 1 + #{d* ≥ 0}) / (resamples + 1),
// at most 1; the added one prevents a p-value below what the resamples can show.
// The same pairs, seed and number of resamples give the same bits.
func bootstrap(pairs []pair, statistics []statistic, resamples int, confidence float64, seed uint64) []Difference {
	var strata [4][]pair
	var base, retrained Confusion
	for _, p := range pairs {
		strata[p.gold] = append(strata[p.gold], p)
		base[p.gold][p.base]++
		retrained[p.gold][p.retrained]++
	}
	draws := make([][]float64, len(statistics))
	for i := range draws {
		draws[i] = make([]float64, resamples)
	}
	random := rand.New(rand.NewPCG(seed, 0x736f3874)) // "so8t": a stream of its own
	for r := range resamples {
		var b, t Confusion
		for gold, stratum := range strata {
			for range stratum {
				p := stratum[random.Uint32N(uint32(len(stratum)))]
				b[gold][p.base]++
				t[gold][p.retrained]++
			}
		}
		for i, figure := range statistics {
			draws[i][r] = figure(t) - figure(b)
		}
	}
	out := make([]Difference, len(statistics))
	for i, figure := range statistics {
		d := Difference{Base: figure(base), Retrained: figure(retrained)}
		d.Difference = d.Retrained - d.Base
		d.PValue = signPValue(draws[i])
		slices.Sort(draws[i])
		tail := (1 - confidence) / 2
		d.Low, d.High = quantile(draws[i], tail), quantile(draws[i], 1-tail)
		out[i] = d
	}
	return out
}

func signPValue(draws []float64) PValue {
	notAbove, notBelow := 1, 1
	for _, d := range draws {
		notAbove += one(d <= 0)
		notBelow += one(d >= 0)
	}
	return PValue(math.Min(1, 2*float64(min(notAbove, notBelow))/float64(len(draws)+1)))
}

// quantile interpolates linearly between order statistics (R's type 7).
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}
