package evaluation

import (
	"fmt"
	"strings"
)

// percent writes a rate with one decimal: 93.4 %.
func percent(rate float64) string { return fmt.Sprintf("%.1f %%", 100*rate) }

// points writes a difference of rates in percentage points, signed with a true minus.
func points(difference float64) string { return signed(100*difference, 1) + " points" }

// signed writes a number with its sign; what rounds to zero has none.
func signed(v float64, decimals int) string {
	text := fmt.Sprintf("%.*f", decimals, v)
	switch zero := fmt.Sprintf("%.*f", decimals, 0.0); {
	case text == zero || text == "-"+zero:
		return zero
	case v < 0:
		return "−" + text[1:]
	}
	return "+" + text
}

// pEquals writes p as reports do.
func pEquals(p PValue) string {
	if text, below := strings.CutPrefix(p.String(), "<"); below {
		return "p < " + text
	}
	return "p = " + p.String()
}
