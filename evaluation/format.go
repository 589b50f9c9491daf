package evaluation

import "fmt"

// Percent writes a rate with one decimal: 93.4 %.
func Percent(rate float64) string { return fmt.Sprintf("%.1f %%", 100*rate) }

// Points writes a difference of rates in percentage points, signed with a true minus.
func Points(difference float64) string { return Signed(100*difference, 1) + " points" }

// Signed writes a number with its sign; what rounds to zero has none.
func Signed(v float64, decimals int) string {
	text := fmt.Sprintf("%.*f", decimals, v)
	switch zero := fmt.Sprintf("%.*f", decimals, 0.0); {
	case text == zero || text == "-"+zero:
		return zero
	case v < 0:
		return "−" + text[1:]
	}
	return "+" + text
}
