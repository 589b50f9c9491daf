package evaluation

import (
	"slices"
	"strings"
	"time"

	"so8t/engine"
	"so8t/version"
)

// askFirst marks the first n samples that have a prompt to be answered.
func askFirst(questions []question, n int) {
	for i := range questions {
		if n > 0 && len(questions[i].prompt) > 0 {
			questions[i].asked = true
			n--
		}
	}
}

// readPlain makes the decisions of a batch without labels. generations holds the answers to those questions that were
// asked, in their order.
func (r *reader) readPlain(batch []question, generations []engine.Generation, o Options) []Decision {
	out := make([]Decision, len(batch))
	next := 0
	for i, q := range batch {
		out[i] = r.about(q)
		if !q.asked {
			continue
		}
		g := generations[next]
		next++
		out[i].answered(r.tokenizer.Decode(o.withoutEnd(g.Tokens), false), g)
		out[i].Reference = r.reference(q, o)
	}
	return out
}

// reference is the text that the dataset answers the prompt with: the labelled tokens behind it, without the end.
func (r *reader) reference(q question, o Options) string {
	labels := q.sample.Labels[len(q.prompt):]
	if end := slices.IndexFunc(labels, func(l int32) bool { return l < 0 }); end >= 0 {
		labels = labels[:end]
	}
	return strings.TrimSpace(r.tokenizer.Decode(o.withoutEnd(labels), false))
}

// formerEOS are the tokens that ended an answer before every part of the program asked the tokenizer which ones do.
var formerEOS = []string{"<|end|>", "<|endoftext|>", "</s>"}

// continuing takes over what ended the answers of earlier batches, so that all samples are evaluated alike even if a
// later version of this program goes on with them.
func (o Options) continuing(earlier []Batch, t Tokenizer) Options {
	if o.EOS != nil || len(earlier) == 0 {
		return o
	}
	if o.EOS = earlier[0].EOS; o.EOS == nil {
		for _, content := range formerEOS {
			if id, ok := t.ID(content); ok {
				o.EOS = append(o.EOS, id)
			}
		}
	}
	return o
}

// Quantiles are those of the samples' mean losses, in nats per token.
type Quantiles struct {
	P5  float64 `json:"p5"`
	P25 float64 `json:"p25"`
	P50 float64 `json:"p50"`
	P75 float64 `json:"p75"`
	P95 float64 `json:"p95"`
}

// meanLoss is in nats per labelled token.
func (d Decision) meanLoss() float64 { return d.LossSum / float64(d.LabelledTokens) }

func (d Decision) hasAnswer() bool { return d.Finished || d.GeneratedTokens > 0 }

// plainFigures are the figures that need no label.
func plainFigures(samples []Decision, t Totals) Figures {
	f := Figures{Samples: len(samples)}
	var answered []Decision
	losses := make([]float64, len(samples))
	for i, s := range samples {
		losses[i] = s.meanLoss()
		if s.hasAnswer() {
			answered = append(answered, s)
		}
	}
	slices.Sort(losses)
	if len(losses) > 0 {
		f.SampleLoss = &Quantiles{quantile(losses, 0.05), quantile(losses, 0.25), quantile(losses, 0.5), quantile(losses, 0.75), quantile(losses, 0.95)}
	}
	f.Answered = len(answered)
	f.takeLoss(t)
	f.takeSpeed(answered, t)
	return f
}

// plainEvaluation is what a plain run's evaluation/*.json holds: an Evaluation without what needs a label.
type plainEvaluation struct {
	Model         string            `json:"model"`
	Versions      []version.Version `json:"versions,omitempty"`
	SamplesDigest string            `json:"samples_digest"`
	StartedAt     time.Time         `json:"started_at"`
	FinishedAt    time.Time         `json:"finished_at"`
	Options       Options           `json:"options"`
	PlainFigures
	Totals    Totals          `json:"totals"`
	Skipped   []Skipped       `json:"skipped,omitempty"`
	Decisions []plainDecision `json:"decisions"`
}

// PlainFigures are the Figures of a plain run, as its files hold them.
type PlainFigures struct {
	Samples           int        `json:"samples"`
	TokenLoss         float64    `json:"token_loss"`
	Perplexity        float64    `json:"perplexity"`
	SampleLoss        *Quantiles `json:"sample_loss,omitempty"`
	LabelledTokens    int        `json:"labelled_tokens"`
	Answered          int        `json:"answered_samples"`
	LatencyP50Seconds float64    `json:"latency_p50_seconds,omitempty"`
	LatencyP95Seconds float64    `json:"latency_p95_seconds,omitempty"`
	TokensPerSecond   float64    `json:"tokens_per_second,omitempty"`
	GeneratedTokens   int        `json:"generated_tokens,omitempty"`
}

func (f Figures) plain() PlainFigures {
	return PlainFigures{
		Samples: f.Samples, TokenLoss: f.TokenLoss, Perplexity: f.Perplexity, SampleLoss: f.SampleLoss, LabelledTokens: f.LabelledTokens,
		Answered: f.Answered, LatencyP50Seconds: f.LatencyP50Seconds, LatencyP95Seconds: f.LatencyP95Seconds,
		TokensPerSecond: f.TokensPerSecond, GeneratedTokens: f.GeneratedTokens,
	}
}

type plainDecision struct {
	SourceFile      int     `json:"source_file,omitempty"`
	SourceLine      int64   `json:"source_line"`
	Digest          string  `json:"digest"`
	Domain          string  `json:"domain,omitempty"`
	NearDuplicate   bool    `json:"near_duplicate,omitempty"`
	LossSum         float64 `json:"loss_sum"`
	LabelledTokens  int     `json:"labelled_tokens"`
	Prompt          string  `json:"prompt"`
	Answer          string  `json:"answer,omitempty"`
	Reference       string  `json:"reference,omitempty"`
	Finished        bool    `json:"finished,omitempty"`
	GeneratedTokens int     `json:"generated_tokens,omitempty"`
	LatencySeconds  float64 `json:"latency_seconds,omitempty"`
}

// document is what Save writes.
func (e *Evaluation) document() any {
	if !e.Options.Plain {
		return e
	}
	out := plainEvaluation{
		Model: e.Model, Versions: e.Versions, SamplesDigest: e.SamplesDigest, StartedAt: e.StartedAt, FinishedAt: e.FinishedAt,
		Options: e.Options, PlainFigures: e.Figures.plain(), Totals: e.Totals, Skipped: e.Skipped,
	}
	for _, d := range e.Decisions {
		out.Decisions = append(out.Decisions, plainDecision{
			d.SourceFile, d.SourceLine, d.Digest, d.Domain, d.NearDuplicate, d.LossSum, d.LabelledTokens,
			d.Prompt, d.Answer, d.Reference, d.Finished, d.GeneratedTokens, d.LatencySeconds,
		})
	}
	return out
}
