package evaluation

import "math"

// McNemar is the exact test of whether two models differ in accuracy on the same
// samples. Only the discordant samples count: under the null hypothesis each of the
// b + c falls to either side with probability 1/2.
type McNemar struct {
	BothCorrect          int     `json:"both_correct"`
	OnlyBaseCorrect      int     `json:"only_base_correct"`      // b
	OnlyRetrainedCorrect int     `json:"only_retrained_correct"` // c
	BothWrong            int     `json:"both_wrong"`
	PValue               PValue  `json:"p_value"`
	PValueText           string  `json:"p_value_text"`
	Log10PValue          float64 `json:"log10_p_value"` // where p itself is below what a float64 holds
}

func mcNemarOf(pairs []pair) McNemar {
	var m McNemar
	for _, p := range pairs {
		switch base, retrained := p.base == p.gold, p.retrained == p.gold; {
		case base && retrained:
			m.BothCorrect++
		case base:
			m.OnlyBaseCorrect++
		case retrained:
			m.OnlyRetrainedCorrect++
		default:
			m.BothWrong++
		}
	}
	logP := exactMcNemar(m.OnlyBaseCorrect, m.OnlyRetrainedCorrect)
	m.PValue = pValueFromLog(logP)
	m.PValueText = formatLogP(logP)
	m.Log10PValue = logP/math.Ln10 + 0 // + 0: JSON would write −0
	return m
}

// exactMcNemar returns ln p of the two-sided exact test,
// p = min(1, 2 · P(X ≤ min(b, c))), X ~ Binomial(b + c, 1/2).
// It sums in logarithms: with 2,000 discordant samples p is far below the smallest float64.
func exactMcNemar(b, c int) (logP float64) {
	n, k := b+c, min(b, c)
	if n == 0 {
		return 0
	}
	top := logChoose(n, k) // the largest term: k ≤ n/2
	sum := 0.0
	for i := k; i >= 0; i-- {
		term := math.Exp(logChoose(n, i) - top)
		sum += term
		if term < sum*1e-18 {
			break
		}
	}
	return math.Min(0, math.Ln2+top+math.Log(sum)-float64(n)*math.Ln2)
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
