package report

import (
	"fmt"
	"strings"

	"so8t/evaluation"
	"so8t/page"
)

// plain is what the report on a run without labels shows beside what all show.
type plain struct {
	common
	Loss    *evaluation.LossTest
	Answers []reading
}

// reading is a sample with both answers.
type reading struct {
	Prompt, Where, Reference string
	Sides                    []readingSide
}

type readingSide struct{ Model, Loss, Text string }

func readingsOf(answers []evaluation.SideBySide) (out []reading) {
	for _, a := range answers {
		side := func(model string, w evaluation.Written) readingSide {
			return readingSide{model, fmt.Sprintf("%.3f", w.Loss), excerpt(strings.TrimSpace(w.Answer))}
		}
		where := fmt.Sprintf("line %d of the dataset", a.Line)
		if a.File > 0 {
			where = fmt.Sprintf("line %d of the dataset's file %d", a.Line, a.File+1)
		}
		out = append(out, reading{Prompt: excerpt(a.Prompt), Where: where, Reference: excerpt(a.Reference),
			Sides: []readingSide{side("base", a.Base), side("retrained", a.Retrained)}})
	}
	return out
}

// plainLead is the verdict's first paragraph, for a reader who knows no statistics.
func plainLead(r *evaluation.Result) string {
	l := r.Loss
	s := fmt.Sprintf("On the same %d test samples the retrained model's token loss is %.3f, the base's %.3f. ", r.Samples, l.Retrained, l.Base)
	switch {
	case float64(l.PValue) >= r.Options.Alpha:
		s += fmt.Sprintf("A difference of this size can be chance (%s). ", l.PValue.Equation())
	case l.RankSumLower > l.RankSumHigher:
		s += fmt.Sprintf("That it is lower on %d of them and higher on %d is beyond chance (%s). ", l.Lower, l.Higher, l.PValue.Equation())
	default:
		s += fmt.Sprintf("That it is higher on %d of them and lower on %d is beyond chance (%s). ", l.Higher, l.Lower, l.PValue.Equation())
	}
	return s + "The run has no labels, so that nothing is said of decisions."
}

func plainTiles(r *evaluation.Result) []tile {
	l := r.Loss
	of := func(name, means, format string, base, retrained float64, decimals int) tile {
		return tile{Name: name, Means: means, Base: fmt.Sprintf(format, base), Retrained: fmt.Sprintf(format, retrained),
			Change: evaluation.Signed(retrained-base, decimals), Better: retrained < base, Worse: retrained > base}
	}
	loss := of("Token loss", "nats per token of the dataset's answers", "%.3f", l.Base, l.Retrained, 3)
	loss.Interval = fmt.Sprintf("%.0f %% interval %s to %s", 100*l.Confidence, evaluation.Signed(l.Low, 3), evaluation.Signed(l.High, 3))
	tiles := []tile{loss, of("Perplexity", "exp(token loss)", "%.4g", r.Base.Perplexity, r.Retrained.Perplexity, 2)}
	if b, n := r.Base.SampleLoss, r.Retrained.SampleLoss; b != nil && n != nil {
		tiles = append(tiles, of("Easy samples", "5 % of the samples have a lower loss", "%.3f", b.P5, n.P5, 3),
			of("Median sample", "half of the samples have a lower loss", "%.3f", b.P50, n.P50, 3),
			of("Hard samples", "95 % of the samples have a lower loss", "%.3f", b.P95, n.P95, 3))
	}
	return tiles
}

func plainRows(r *evaluation.Result) []figureRow {
	b, n := r.Base, r.Retrained
	number := func(name, format string, base, retrained float64, means string) figureRow {
		return figureRow{name, fmt.Sprintf(format, base), fmt.Sprintf(format, retrained), means}
	}
	rows := []figureRow{
		number("Token loss", "%.4f", b.TokenLoss, n.TokenLoss, "nats per token of the dataset's answers"),
		number("Perplexity", "%.4g", b.Perplexity, n.Perplexity, "exp(token loss)"),
	}
	if q, s := b.SampleLoss, n.SampleLoss; q != nil && s != nil {
		rows = append(rows,
			number("Loss of a sample, 5 %", "%.4f", q.P5, s.P5, "5 % of the samples have a lower mean loss"),
			number("Loss of a sample, 25 %", "%.4f", q.P25, s.P25, "25 % of the samples have a lower mean loss"),
			number("Loss of a sample, 50 %", "%.4f", q.P50, s.P50, "half of the samples have a lower mean loss"),
			number("Loss of a sample, 75 %", "%.4f", q.P75, s.P75, "75 % of the samples have a lower mean loss"),
			number("Loss of a sample, 95 %", "%.4f", q.P95, s.P95, "95 % of the samples have a lower mean loss"))
	}
	rows = append(rows, figureRow{"Tokens measured", fmt.Sprint(b.LabelledTokens), fmt.Sprint(n.LabelledTokens), "tokens of the dataset's answers"})
	if b.Answered > 0 && n.Answered > 0 {
		latency := func(f evaluation.Figures) string {
			return fmt.Sprintf("%.2f / %.2f s", f.LatencyP50Seconds, f.LatencyP95Seconds)
		}
		rows = append(rows,
			figureRow{"Samples answered", fmt.Sprint(b.Answered), fmt.Sprint(n.Answered), "for people to read"},
			figureRow{"Latency p50 / p95", latency(b), latency(n), "seconds for one answer, generated in batches"},
			number("Generation speed", "%.0f tokens/s", b.TokensPerSecond, n.TokensPerSecond, "tokens per second, all answers together"))
	}
	return rows
}

// changesPlot is a histogram of what training did to each sample's loss.
func changesPlot(l *evaluation.LossTest) ([]byte, error) {
	var bins []page.Bin
	for _, b := range l.Changes {
		bins = append(bins, page.Bin{From: b.From, To: b.To, Count: b.Samples})
	}
	axes := page.Axes{Title: "Samples by the change of their loss", X: "change of the sample's loss, nats per token", Y: "samples"}
	return page.Histogram(380, 250, axes, bins)
}

// plainTable is Table of a run without labels.
func plainTable(r *evaluation.Result) string {
	l := r.Loss
	number := func(name, format string, base, retrained float64, decimals int) []string {
		return []string{name, fmt.Sprintf(format, base), fmt.Sprintf(format, retrained), evaluation.Signed(retrained-base, decimals), "", ""}
	}
	loss := number("token loss", "%.3f", l.Base, l.Retrained, 3)
	loss[4], loss[5] = fmt.Sprintf("%s to %s", evaluation.Signed(l.Low, 3), evaluation.Signed(l.High, 3)), l.PValue.String()
	rows := [][]string{
		{"", "base", "retrained", "change", fmt.Sprintf("%.0f %% interval", 100*l.Confidence), "p"},
		loss, number("perplexity", "%.2f", r.Base.Perplexity, r.Retrained.Perplexity, 2),
	}
	if b, n := r.Base.SampleLoss, r.Retrained.SampleLoss; b != nil && n != nil {
		rows = append(rows, number("median sample", "%.3f", b.P50, n.P50, 3), number("95 % of samples below", "%.3f", b.P95, n.P95, 3))
	}
	if r.Base.Answered > 0 && r.Retrained.Answered > 0 {
		rows = append(rows, number("latency p50, s", "%.2f", r.Base.LatencyP50Seconds, r.Retrained.LatencyP50Seconds, 2),
			number("tokens/s", "%.0f", r.Base.TokensPerSecond, r.Retrained.TokensPerSecond, 0))
	}
	var out strings.Builder
	out.WriteString(aligned(rows))
	fmt.Fprintf(&out, "\n%d test samples; Wilcoxon signed-rank on their losses: p = %s (%d lower, %d higher)\n", r.Samples, l.PValueText, l.Lower, l.Higher)
	conclude(&out, r)
	return out.String()
}
