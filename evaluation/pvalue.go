package evaluation

import (
	"fmt"
	"math"
	"strings"
)

// PValue is a probability that is never written as 0: a p below the smallest
// normal float64 is clamped to it, and its logarithm is stored beside it.
type PValue float64

const smallestPValue = 0x1p-1022

func pValueFromLog(logP float64) PValue {
	return PValue(math.Max(math.Exp(logP), smallestPValue))
}

// String gives two significant digits: 0.034, 1.2e-05, 1.
func (p PValue) String() string {
	if p < 8*smallestPValue { // held at the bound, perhaps times a small number
		return "<1e-306"
	}
	return formatLogP(math.Log(float64(p)))
}

// Equation writes p as papers do: p = 0.034, p < 1e-306.
func (p PValue) Equation() string {
	if bound, below := strings.CutPrefix(p.String(), "<"); below {
		return "p < " + bound
	}
	return "p = " + p.String()
}

// formatLogP writes e^logP as a p-value, whatever its size.
func formatLogP(logP float64) string {
	log10 := logP / math.Ln10
	switch {
	case log10 >= 0:
		return "1"
	case log10 > -3:
		text := fmt.Sprintf("%.2g", math.Exp(logP))
		if text == "1" {
			return "1.0" // rounded, not certain
		}
		return text
	}
	exponent := math.Floor(log10)
	mantissa := fmt.Sprintf("%.1f", math.Pow(10, log10-exponent))
	if mantissa == "10.0" {
		mantissa, exponent = "1.0", exponent+1
	}
	return fmt.Sprintf("%se-%02d", mantissa, int(-exponent))
}
