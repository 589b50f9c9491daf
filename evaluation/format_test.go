package evaluation

import (
	"math"
	"testing"
)

func TestSigned(t *testing.T) {
	for v, want := range map[float64]string{0: "0.0", 0.04: "0.0", -0.04: "0.0", 1.25: "+1.2", -71.5: "−71.5", math.Copysign(0, -1): "0.0"} {
		if got := Signed(v, 1); got != want {
			t.Errorf("Signed(%v) = %q, want %q", v, got, want)
		}
	}
}
