package report

import (
	"fmt"
	"strings"
	"time"

	"so8t/evaluation"
	"so8t/quadruple"
)

// lead is the verdict's first paragraph, for a reader who knows no statistics.
func lead(r *evaluation.Result) string {
	accuracy := r.Hypothesis("accuracy")
	s := fmt.Sprintf("On the same %d test samples the retrained model decides %s rightly, the base %s. ",
		r.Samples, evaluation.Percent(r.Retrained.Accuracy), evaluation.Percent(r.Base.Accuracy))
	switch {
	case !accuracy.Significant:
		s += fmt.Sprintf("A difference of this size can be chance (%s). ", accuracy.AdjustedPValue.Equation())
	case r.Bootstrap.Accuracy.Difference > 0:
		s += fmt.Sprintf("The gain is beyond chance (%s). ", accuracy.AdjustedPValue.Equation())
	default:
		s += fmt.Sprintf("The loss is beyond chance (%s). ", accuracy.AdjustedPValue.Equation())
	}
	if r.Retrained.Harmful > 0 {
		s += fmt.Sprintf("Of the %d requests that must be denied or refused it lets %s through, the base %s.",
			r.Retrained.Harmful, evaluation.Percent(r.Retrained.FalseAllowRate), evaluation.Percent(r.Base.FalseAllowRate))
	}
	return s
}

func tilesOf(r *evaluation.Result) []tile {
	b := r.Bootstrap
	interval := func(d evaluation.Difference) string {
		return fmt.Sprintf("%.0f %% interval %s to %s", 100*b.Confidence, evaluation.Signed(100*d.Low, 1), evaluation.Signed(100*d.High, 1))
	}
	of := func(name, means string, d evaluation.Difference, higherIsBetter bool) tile {
		gain := d.Difference
		if !higherIsBetter {
			gain = -gain
		}
		return tile{
			Name: name, Means: means, Base: evaluation.Percent(d.Base), Retrained: evaluation.Percent(d.Retrained),
			Change: evaluation.Points(d.Difference), Interval: interval(d), Better: gain > 0, Worse: gain < 0,
		}
	}
	wellFormed := of("Well-formed", "answers in the four-part form", difference(r.Base.WellFormedRate, r.Retrained.WellFormedRate), true)
	wellFormed.Interval = ""
	return []tile{
		of("Accuracy", "decided rightly", b.Accuracy, true),
		of("Macro F1", "mean over the classes", b.MacroF1, true),
		of("False allow", "harmful requests let through", b.FalseAllowRate, false),
		of("Over-refusal", "harmless requests refused", b.OverRefusalRate, false),
		wellFormed,
	}
}

// difference is one without an interval.
func difference(base, retrained float64) evaluation.Difference {
	return evaluation.Difference{Base: base, Retrained: retrained, Difference: retrained - base}
}

type figureRow struct{ Name, Base, Retrained, Means string }

func figureRows(r *evaluation.Result) []figureRow {
	b, n := r.Base, r.Retrained
	share := func(name string, base, retrained float64, means string) figureRow {
		return figureRow{name, evaluation.Percent(base), evaluation.Percent(retrained), means}
	}
	number := func(name, format string, base, retrained float64, means string) figureRow {
		return figureRow{name, fmt.Sprintf(format, base), fmt.Sprintf(format, retrained), means}
	}
	latency := func(f evaluation.Figures) string {
		return fmt.Sprintf("%.2f / %.2f s", f.LatencyP50Seconds, f.LatencyP95Seconds)
	}
	return []figureRow{
		share("Accuracy", b.Accuracy, n.Accuracy, "decisions equal to the gold label"),
		share("Macro F1", b.MacroF1, n.MacroF1, "F1 averaged over the labels, each with the same weight"),
		share("False allow", b.FalseAllowRate, n.FalseAllowRate, "of DENY and REFUSE samples, decided ALLOW"),
		share("Over-refusal", b.OverRefusalRate, n.OverRefusalRate, "of ALLOW samples, decided DENY or REFUSE"),
		share("Calibration error", b.ECE, n.ECE, "mean distance between confidence and accuracy (ECE, 15 bins)"),
		share("Well-formed answers", b.WellFormedRate, n.WellFormedRate, "the four sections, complete and in order, and nothing else"),
		share("Leaked thinking", b.LeakedThinkingRate, n.LeakedThinkingRate, "answers with thinking inside the final section"),
		share("Written decision: accuracy", b.GeneratedAccuracy, n.GeneratedAccuracy, "the label written in the answer equals the gold label"),
		share("Written = scored decision", b.AgreementRate, n.AgreementRate, "the label written in the answer is also the likeliest"),
		share("Own think-task", b.OwnThinkTaskRate, n.OwnThinkTaskRate, "decided after the model's own think-task, not one made from a malformed answer"),
		number("Token loss", "%.3f", b.TokenLoss, n.TokenLoss, "nats per token of the gold answers"),
		number("Perplexity", "%.4g", b.Perplexity, n.Perplexity, "exp(token loss)"),
		{"Latency p50 / p95", latency(b), latency(n), "seconds for one answer, generated in batches"},
		number("Generation speed", "%.0f tokens/s", b.TokensPerSecond, n.TokensPerSecond, "tokens per second, all answers together"),
	}
}

// apart is what is said of near duplicates.
type apart struct {
	Says string
	Rows []figureRow
}

// apartOf is nil where near duplicates were not looked for.
func apartOf(r *evaluation.Result) *apart {
	a := r.Apart
	if a == nil {
		return nil
	}
	out := &apart{Says: nearTwins(a) + "."}
	if a.NearDuplicates == 0 || a.Samples == 0 {
		return out
	}
	out.Says += fmt.Sprintf(" A model may know these by heart. On the other %d:", a.Samples)
	share := func(name string, of func(*evaluation.ApartRates) float64) {
		out.Rows = append(out.Rows, figureRow{name, evaluation.Percent(of(a.Base.ApartRates)), evaluation.Percent(of(a.Retrained.ApartRates)), ""})
	}
	if a.Base.ApartRates != nil {
		share("Accuracy", func(f *evaluation.ApartRates) float64 { return f.Accuracy })
		share("Macro F1", func(f *evaluation.ApartRates) float64 { return f.MacroF1 })
		share("False allow", func(f *evaluation.ApartRates) float64 { return f.FalseAllowRate })
	}
	out.Rows = append(out.Rows, figureRow{"Token loss", evaluation.Nats(a.Base.TokenLoss), evaluation.Nats(a.Retrained.TokenLoss), ""})
	return out
}

// nearTwins counts the near duplicates in words.
func nearTwins(a *evaluation.Apart) string {
	all := a.Samples + a.NearDuplicates
	switch a.NearDuplicates {
	case 0:
		return fmt.Sprintf("None of the %d test samples has a near twin in training", all)
	case 1:
		return fmt.Sprintf("1 of the %d test samples has a near twin in training", all)
	}
	return fmt.Sprintf("%d of the %d test samples have a near twin in training", a.NearDuplicates, all)
}

// example is a change as the report shows it.
type example struct {
	evaluation.Change
	Prompt string
	Sides  []exampleSide
}

type exampleSide struct {
	Model, Decided, Confidence string
	WellFormed                 bool
	Sections                   []section
}

// section is one part of an answer; a malformed answer is a single one without a name.
type section struct{ Name, Text string }

func examplesOf(changes []evaluation.Change) []example {
	side := func(model string, s evaluation.Side) exampleSide {
		out := exampleSide{Model: model, Decided: s.Decided, Confidence: evaluation.Percent(s.Confidence)}
		q, ok := quadruple.Parse(s.Answer)
		if out.WellFormed = ok; !ok {
			out.Sections = []section{{"", excerpt(s.Answer)}}
			return out
		}
		for _, part := range []section{{"task", q.Task}, {"safety", q.Safety}, {"policy", q.Policy}, {"final", q.Final}} {
			out.Sections = append(out.Sections, section{part.Name, excerpt(strings.TrimSpace(part.Text))})
		}
		return out
	}
	var out []example
	for _, c := range changes {
		out = append(out, example{Change: c, Prompt: excerpt(c.Prompt), Sides: []exampleSide{side("base", c.Base), side("retrained", c.Retrained)}})
	}
	return out
}

// runDetails lists what was run, without what is unknown.
func runDetails(r *evaluation.Result, d Data) []Detail {
	var out []Detail
	add := func(name, value string) {
		if value != "" {
			out = append(out, Detail{Name: name, Value: value})
		}
	}
	add("Workflow", d.WorkflowID)
	add("Base model", d.BaseModel)
	add("Base model, SHA-256", d.BaseDigest)
	add("Dataset", d.Dataset)
	add("Dataset, SHA-256", d.DatasetDigest)
	add("Configuration", d.Config)
	add("Configuration, SHA-256", d.ConfigDigest)
	add("Test samples, SHA-256", r.SamplesDigest)
	add("Started", moment(d.StartedAt))
	add("Finished", moment(d.FinishedAt))
	if !d.StartedAt.IsZero() && d.FinishedAt.After(d.StartedAt) {
		add("Took", d.FinishedAt.Sub(d.StartedAt).Round(time.Second).String())
	}
	add("Base evaluated", evaluated(r.BaseTimes, r.Base))
	add("Retrained evaluated", evaluated(r.RetrainedTimes, r.Retrained))
	return append(out, d.Details...)
}

func evaluated(t evaluation.Times, f evaluation.Figures) string {
	if t.StartedAt.IsZero() {
		return ""
	}
	s := fmt.Sprintf("%s, %s, %d tokens generated", moment(t.StartedAt), t.FinishedAt.Sub(t.StartedAt).Round(100*time.Millisecond), f.GeneratedTokens)
	if t.Skipped > 0 {
		s += fmt.Sprintf(", %d test samples could not be asked", t.Skipped)
	}
	for i, v := range t.Versions {
		s += []string{"; by ", " and "}[min(i, 1)] + v.String()
	}
	return s
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
