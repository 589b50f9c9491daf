package evaluation

import (
	"cmp"
	"math"
	"slices"
)

// Wilcoxon is the two-sided signed-rank test of whether one model's losses on the same samples are lower than the other's.
//
// It ranks the samples' differences in mean loss by size, and compares the rank sums of the falls and the rises: under the null
// hypothesis each difference is as likely a rise as a fall of the same size. It is taken rather than a permutation test on the
// sums because a few long or strange samples cannot carry it, it needs no seed, and its p-value has no floor set by a
// number of resamples. Samples with equal losses are left out, as Wilcoxon did.
//
// Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1, 1945.
type Wilcoxon struct {
	Lower         int     `json:"lower"`  // samples on which the retrained model's loss is lower
	Higher        int     `json:"higher"` // samples on which it is higher
	Equal         int     `json:"equal"`
	RankSumLower  float64 `json:"rank_sum_lower"`
	RankSumHigher float64 `json:"rank_sum_higher"`
	Exact         bool    `json:"exact"` // else by the normal approximation
	PValue        PValue  `json:"p_value"`
	PValueText    string  `json:"p_value_text"`
	Log10PValue   float64 `json:"log10_p_value"` // where p itself is below what a float64 holds
}

// exactWilcoxon is the largest number of differences whose p-value is counted out. Beyond it the normal approximation is
// good to the digits that are shown.
const exactWilcoxon = 50

// wilcoxon tests differences, retrained − base.
func wilcoxon(differences []float64) Wilcoxon {
	var w Wilcoxon
	var sorted []float64
	for _, d := range differences {
		if d == 0 {
			w.Equal++
			continue
		}
		sorted = append(sorted, d)
	}
	slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })
	ties := 0.0 // Σ t³ − t over groups of t equal sizes
	for from := 0; from < len(sorted); {
		to := from + 1
		for to < len(sorted) && math.Abs(sorted[to]) == math.Abs(sorted[from]) {
			to++
		}
		t := float64(to - from)
		ties += t*t*t - t
		rank := float64(from+1+to) / 2 // the mean of from+1 … to
		for _, d := range sorted[from:to] {
			if d < 0 {
				w.Lower++
				w.RankSumLower += rank
			} else {
				w.Higher++
				w.RankSumHigher += rank
			}
		}
		from = to
	}
	n, smaller := len(sorted), math.Min(w.RankSumLower, w.RankSumHigher)
	w.Exact = ties == 0 && n <= exactWilcoxon
	logP := 0.0
	switch {
	case w.Exact:
		logP = exactSignedRank(n, int(smaller))
	default:
		logP = normalSignedRank(float64(n), smaller, ties)
	}
	w.PValue, w.PValueText, w.Log10PValue = pValueFromLog(logP), formatLogP(logP), logP/math.Ln10+0 // + 0: JSON would write −0
	return w
}

// exactSignedRank returns ln of min(1, 2·P(W ≤ w)). Of the 2ⁿ equally likely ways to sign the ranks 1 … n it counts
// those whose positive ranks sum to at most w; up to n = 50 the counts are exact in a float64.
func exactSignedRank(n, w int) (logP float64) {
	ways := make([]float64, w+1) // by sum
	ways[0] = 1
	for rank := 1; rank <= n; rank++ {
		for sum := w; sum >= rank; sum-- {
			ways[sum] += ways[sum-rank]
		}
	}
	total := 0.0
	for _, v := range ways {
		total += v
	}
	return math.Min(0, math.Ln2+math.Log(total)-float64(n)*math.Ln2)
}

// normalSignedRank approximates the same by a normal distribution with the variance that ties leave,
// n(n+1)(2n+1)/24 − Σ(t³−t)/48, without a correction for continuity.
func normalSignedRank(n, w, ties float64) (logP float64) {
	z := (n*(n+1)/4 - w) / math.Sqrt(n*(n+1)*(2*n+1)/24-ties/48)
	return math.Min(0, logErfc(z/math.Sqrt2))
}

// logErfc is ln erfc(x) of x ≥ 0, also where erfc(x) itself is below the smallest float64.
func logErfc(x float64) float64 {
	if x < 20 {
		return math.Log(math.Erfc(x))
	}
	// The asymptotic series; its next term is below 1e-12 here.
	y := 1 / (2 * x * x)
	return -x*x - math.Log(x*math.Sqrt(math.Pi)) + math.Log1p(-y+3*y*y-15*y*y*y)
}
