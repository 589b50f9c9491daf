package evaluation

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Table is the comparison as aligned plain text for a terminal.
func (r *Result) Table() string {
	b := r.Bootstrap
	row := func(name string, d Difference) []string {
		return []string{name, percent(d.Base), percent(d.Retrained), signed(100*d.Difference, 1), "", ""}
	}
	resampled := func(name string, d Difference, p string) []string {
		cells := row(name, d)
		cells[4], cells[5] = fmt.Sprintf("%s to %s", signed(100*d.Low, 1), signed(100*d.High, 1)), p
		return cells
	}
	share := func(name string, of func(Figures) float64) []string {
		base, retrained := of(r.Base), of(r.Retrained)
		return row(name, Difference{Base: base, Retrained: retrained, Difference: retrained - base})
	}
	number := func(name, format string, of func(Figures) float64) []string {
		return []string{name, fmt.Sprintf(format, of(r.Base)), fmt.Sprintf(format, of(r.Retrained)), "", "", ""}
	}
	rows := [][]string{
		{"", "base", "retrained", "change", fmt.Sprintf("%.0f %% interval", 100*b.Confidence), "p (Holm)"},
		resampled("accuracy", b.Accuracy, r.adjusted("accuracy").String()),
		resampled("macro F1", b.MacroF1, r.adjusted("macro_f1").String()),
		resampled("false allow", b.FalseAllowRate, r.adjusted("false_allow_rate").String()),
		resampled("over-refusal", b.OverRefusalRate, ""),
		share("well-formed", func(f Figures) float64 { return f.WellFormedRate }),
		share("leaked thinking", func(f Figures) float64 { return f.LeakedThinkingRate }),
		share("calibration error", func(f Figures) float64 { return f.ECE }),
		number("token loss", "%.3f", func(f Figures) float64 { return f.TokenLoss }),
		number("perplexity", "%.2f", func(f Figures) float64 { return f.Perplexity }),
		number("latency p50, s", "%.2f", func(f Figures) float64 { return f.LatencyP50Seconds }),
		number("tokens/s", "%.0f", func(f Figures) float64 { return f.TokensPerSecond }),
	}
	var out strings.Builder
	out.WriteString(aligned(rows))
	fmt.Fprintf(&out, "\n%d test samples; McNemar on accuracy: p = %s (%d gained, %d lost)\n",
		r.Samples, r.McNemar.PValueText, r.McNemar.OnlyRetrainedCorrect, r.McNemar.OnlyBaseCorrect)
	fmt.Fprintf(&out, "verdict: %s\n", r.Verdict)
	for _, c := range r.Checks {
		mark := "ok  "
		if !c.Passed {
			mark = "FAIL"
		}
		fmt.Fprintf(&out, "  %s  %s\n", mark, c.Reason)
	}
	return out.String()
}

// aligned sets the first column left and the others right, with a rule under the header.
func aligned(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var out strings.Builder
	for r, row := range rows {
		line := ""
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				line += cell + pad
			} else {
				line += "   " + pad + cell
			}
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
		if r == 0 {
			out.WriteString(strings.Repeat("─", utf8.RuneCountInString(line)) + "\n")
		}
	}
	return out.String()
}
