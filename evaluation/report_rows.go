package evaluation

import (
	"fmt"
	"strings"
	"time"

	"so8t/quadruple"
)

// lead is the verdict's first paragraph, for a reader who knows no statistics.
func lead(r *Result) string {
	b := r.Bootstrap
	s := fmt.Sprintf("On the same %d test samples the retrained model decides %s rightly, the base %s. ",
		r.Samples, percent(r.Retrained.Accuracy), percent(r.Base.Accuracy))
	switch {
	case !r.significant("accuracy"):
		s += fmt.Sprintf("A difference of this size can be chance (%s). ", pEquals(r.adjusted("accuracy")))
	case b.Accuracy.Difference > 0:
		s += fmt.Sprintf("The gain is beyond chance (%s). ", pEquals(r.adjusted("accuracy")))
	default:
		s += fmt.Sprintf("The loss is beyond chance (%s). ", pEquals(r.adjusted("accuracy")))
	}
	if r.Retrained.Harmful > 0 {
		s += fmt.Sprintf("Of the %d requests that must be denied or refused it lets %s through, the base %s.",
			r.Retrained.Harmful, percent(r.Retrained.FalseAllowRate), percent(r.Base.FalseAllowRate))
	}
	return s
}

func (r *Result) significant(name string) bool {
	for _, t := range r.Family {
		if t.Name == name {
			return t.Significant
		}
	}
	return false
}

func tilesOf(r *Result) []tile {
	b := r.Bootstrap
	interval := func(d Difference) string {
		return fmt.Sprintf("%.0f %% interval %s to %s", 100*b.Confidence, signed(100*d.Low, 1), signed(100*d.High, 1))
	}
	of := func(name, means string, d Difference, higherIsBetter bool) tile {
		gain := d.Difference
		if !higherIsBetter {
			gain = -gain
		}
		return tile{
			Name: name, Means: means, Base: percent(d.Base), Retrained: percent(d.Retrained),
			Change: points(d.Difference), Interval: interval(d), Better: gain > 0, Worse: gain < 0,
		}
	}
	wellFormed := of("Well-formed", "answers in the four-part form",
		Difference{Base: r.Base.WellFormedRate, Retrained: r.Retrained.WellFormedRate, Difference: r.Retrained.WellFormedRate - r.Base.WellFormedRate}, true)
	wellFormed.Interval = ""
	return []tile{
		of("Accuracy", "decided rightly", b.Accuracy, true),
		of("Macro F1", "mean over the classes", b.MacroF1, true),
		of("False allow", "harmful requests let through", b.FalseAllowRate, false),
		of("Over-refusal", "harmless requests refused", b.OverRefusalRate, false),
		wellFormed,
	}
}

type figureRow struct{ Name, Base, Retrained, Means string }

func figureRows(r *Result) []figureRow {
	row := func(name, means string, write func(Figures) string) figureRow {
		return figureRow{name, write(r.Base), write(r.Retrained), means}
	}
	return []figureRow{
		row("Accuracy", "decisions equal to the gold label", func(f Figures) string { return percent(f.Accuracy) }),
		row("Macro F1", "F1 averaged over the labels, each with the same weight", func(f Figures) string { return percent(f.MacroF1) }),
		row("False allow", "of DENY and REFUSE samples, decided ALLOW", func(f Figures) string { return percent(f.FalseAllowRate) }),
		row("Over-refusal", "of ALLOW samples, decided DENY or REFUSE", func(f Figures) string { return percent(f.OverRefusalRate) }),
		row("Calibration error", "mean distance between confidence and accuracy (ECE, 15 bins)", func(f Figures) string { return percent(f.ECE) }),
		row("Well-formed answers", "the four sections, complete and in order, and nothing else", func(f Figures) string { return percent(f.WellFormedRate) }),
		row("Leaked thinking", "answers with thinking inside the final section", func(f Figures) string { return percent(f.LeakedThinkingRate) }),
		row("Written decision: accuracy", "the label written in the answer equals the gold label",
			func(f Figures) string { return percent(f.GeneratedAccuracy) }),
		row("Written = scored decision", "the label written in the answer is also the likeliest", func(f Figures) string { return percent(f.AgreementRate) }),
		row("Own think-task", "decided after the model's own think-task, not one made from a malformed answer",
			func(f Figures) string { return percent(f.OwnThinkTaskRate) }),
		row("Token loss", "nats per token of the gold answers", func(f Figures) string { return fmt.Sprintf("%.3f", f.TokenLoss) }),
		row("Perplexity", "exp(token loss)", func(f Figures) string { return fmt.Sprintf("%.4g", f.Perplexity) }),
		row("Latency p50 / p95", "seconds for one answer, generated in batches", func(f Figures) string {
			return fmt.Sprintf("%.2f / %.2f s", f.LatencyP50Seconds, f.LatencyP95Seconds)
		}),
		row("Generation speed", "tokens per second, all answers together", func(f Figures) string { return fmt.Sprintf("%.0f tokens/s", f.TokensPerSecond) }),
	}
}

// example is a Change as the report shows it.
type example struct {
	Change
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

func examplesOf(changes []Change) []example {
	side := func(model string, s Side) exampleSide {
		out := exampleSide{Model: model, Decided: s.Decided, Confidence: percent(s.Confidence)}
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
func runDetails(r *Result, d ReportData) []Detail {
	var out []Detail
	add := func(name, value string) {
		if value != "" {
			out = append(out, Detail{name, value})
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

func evaluated(t Times, f Figures) string {
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
