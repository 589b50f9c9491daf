package evaluation

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// The expected logarithms were computed with exact fractions.
func TestExactMcNemar(t *testing.T) {
	for _, c := range []struct {
		b, c int
		logP float64
		text string
	}{
		{0, 0, 0, "1"},
		{5, 5, 0, "1"},
		{4, 5, 0, "1"},
		{0, 5, -2.7725887222397812, "0.062"},
		{1, 9, -3.8404293522411372, "0.021"},
		{10, 25, -4.0939137870118232, "0.017"},
		{499, 501, -0.0255486224951516, "0.97"},
		{59, 121, -12.3261071294502488, "4.4e-06"},
		{3, 140, -85.3298786857797740, "8.7e-38"},
		{0, 150, -103.278929903431851, "1.4e-45"},
		{700, 1300, -93.9178078329027399, "1.6e-41"},
		{20, 1980, -1276.00394949695085, "6.9e-555"},
	} {
		for _, swapped := range []bool{false, true} {
			b, g := c.b, c.c
			if swapped {
				b, g = g, b
			}
			logP := exactMcNemar(b, g)
			if math.Abs(logP-c.logP) > 1e-9*math.Max(1, -c.logP) {
				t.Errorf("exactMcNemar(%d, %d) = %.12f, want %.12f", b, g, logP, c.logP)
			}
			if text := formatLogP(logP); text != c.text {
				t.Errorf("p of (%d, %d) is written %q, want %q", b, g, text, c.text)
			}
		}
	}
}

func TestExactMcNemarAgreesWithGonum(t *testing.T) {
	for n := 1; n <= 200; n += 7 {
		for k := 0; 2*k < n; k += 3 {
			want := math.Min(1, 2*distuv.Binomial{N: float64(n), P: 0.5}.CDF(float64(k)))
			if got := math.Exp(exactMcNemar(k, n-k)); math.Abs(got-want) > 1e-9*want {
				t.Errorf("n %d, k %d: %g, gonum says %g", n, k, got, want)
			}
		}
	}
}

// 6.9e-555 is no float64: JSON must still not say 0.
func TestPValueIsNeverZero(t *testing.T) {
	var pairs []pair
	for i := range 2000 {
		p := pair{gold: deny, base: allow, retrained: deny}
		if i < 20 {
			p = pair{gold: deny, base: deny, retrained: allow}
		}
		pairs = append(pairs, p)
	}
	m := mcNemarOf(pairs)
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		P     float64 `json:"p_value"`
		Text  string  `json:"p_value_text"`
		Log10 float64 `json:"log10_p_value"`
	}
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if back.P <= 0 || back.Text != "6.9e-555" || math.Abs(back.Log10+554.161474) > 1e-5 {
		t.Errorf("p-value crossed JSON as %+v", back)
	}
	if text := m.PValue.Equation(); text != "p < 1e-306" {
		t.Errorf("held p is written %q", text)
	}
	if m.OnlyBaseCorrect != 20 || m.OnlyRetrainedCorrect != 1980 || m.BothCorrect+m.BothWrong != 0 {
		t.Errorf("counts %+v", m)
	}
	if data, _ := json.Marshal(mcNemarOf([]pair{{deny, deny, deny}})); strings.Contains(string(data), "-0") {
		t.Errorf("no difference at all is written %s", data)
	}
}

func TestPValueText(t *testing.T) {
	for p, want := range map[PValue]string{1: "1", 0.9999: "1.0", 0.05: "0.05", 0.0344: "0.034", 0.0012: "0.0012", 0.000999: "1.0e-03",
		2e-4: "2.0e-04", 9.97e-10: "1.0e-09"} {
		if got := p.String(); got != want {
			t.Errorf("%g is written %q, want %q", float64(p), got, want)
		}
	}
}
