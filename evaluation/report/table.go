package report

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"so8t/evaluation"
)

// Table is the comparison as aligned plain text for a terminal.
func Table(r *evaluation.Result) string {
	if r.Plain() {
		return plainTable(r)
	}
	b := r.Bootstrap
	row := func(name string, d evaluation.Difference) []string {
		return []string{name, evaluation.Percent(d.Base), evaluation.Percent(d.Retrained), evaluation.Signed(100*d.Difference, 1), "", ""}
	}
	resampled := func(name string, d evaluation.Difference, p string) []string {
		cells := row(name, d)
		cells[4], cells[5] = fmt.Sprintf("%s to %s", evaluation.Signed(100*d.Low, 1), evaluation.Signed(100*d.High, 1)), p
		return cells
	}
	number := func(name, format string, base, retrained float64) []string {
		return []string{name, fmt.Sprintf(format, base), fmt.Sprintf(format, retrained), "", "", ""}
	}
	rows := [][]string{
		{"", "base", "retrained", "change", fmt.Sprintf("%.0f %% interval", 100*b.Confidence), "p (Holm)"},
		resampled("accuracy", b.Accuracy, r.Hypothesis("accuracy").AdjustedPValue.String()),
		resampled("macro F1", b.MacroF1, r.Hypothesis("macro_f1").AdjustedPValue.String()),
		resampled("false allow", b.FalseAllowRate, r.Hypothesis("false_allow_rate").AdjustedPValue.String()),
		resampled("over-refusal", b.OverRefusalRate, ""),
		row("well-formed", difference(r.Base.WellFormedRate, r.Retrained.WellFormedRate)),
		row("leaked thinking", difference(r.Base.LeakedThinkingRate, r.Retrained.LeakedThinkingRate)),
		row("calibration error", difference(r.Base.ECE, r.Retrained.ECE)),
		number("token loss", "%.3f", r.Base.TokenLoss, r.Retrained.TokenLoss),
		number("perplexity", "%.2f", r.Base.Perplexity, r.Retrained.Perplexity),
		number("latency p50, s", "%.2f", r.Base.LatencyP50Seconds, r.Retrained.LatencyP50Seconds),
		number("tokens/s", "%.0f", r.Base.TokensPerSecond, r.Retrained.TokensPerSecond),
	}
	var out strings.Builder
	out.WriteString(aligned(rows))
	fmt.Fprintf(&out, "\n%d test samples; McNemar on accuracy: p = %s (%d gained, %d lost)\n",
		r.Samples, r.McNemar.PValueText, r.McNemar.OnlyRetrainedCorrect, r.McNemar.OnlyBaseCorrect)
	conclude(&out, r)
	return out.String()
}

// conclude writes the lines under either table: near duplicates, verdict and checks.
func conclude(out *strings.Builder, r *evaluation.Result) {
	if a := r.Apart; a != nil {
		out.WriteString(nearTwins(a))
		if a.NearDuplicates > 0 && a.Samples > 0 {
			fmt.Fprintf(out, "; without them ")
			if a.Base.ApartRates != nil {
				b, n := a.Base, a.Retrained
				fmt.Fprintf(out, "accuracy %s → %s, macro F1 %s → %s, false allow %s → %s, ", evaluation.Percent(b.Accuracy), evaluation.Percent(n.Accuracy),
					evaluation.Percent(b.MacroF1), evaluation.Percent(n.MacroF1), evaluation.Percent(b.FalseAllowRate), evaluation.Percent(n.FalseAllowRate))
			}
			fmt.Fprintf(out, "token loss %.3f → %.3f", a.Base.TokenLoss, a.Retrained.TokenLoss)
		}
		out.WriteString("\n")
	}
	fmt.Fprintf(out, "verdict: %s\n", r.Verdict)
	for _, c := range r.Checks {
		mark := "ok  "
		if !c.Passed {
			mark = "FAIL"
		}
		fmt.Fprintf(out, "  %s  %s\n", mark, c.Reason)
	}
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
