package evaluation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"so8t/dataset"
	"so8t/decision"
	"so8t/engine"
	"so8t/quadruple"
	"so8t/version"
)

// Model is the interface of an evaluated model; *engine.Model implements it.
type Model interface {
	// Generate answers each prompt, greedily where Temperature is 0.
	Generate(ctx context.Context, prompts [][]int32, o engine.GenerateOptions) ([]engine.Generation, error)
	// Score returns [prompt][continuation] sums of log-probabilities, in nats.
	Score(ctx context.Context, prompts, continuations [][]int32) ([][]float64, error)
	// Loss returns the summed cross-entropy of the labelled tokens, in nats, and their number.
	Loss(ctx context.Context, inputIDs, labels [][]int32) (sum float64, targets int, err error)
}

// Tokenizer is the interface of the model's tokenizer; *tokenizer.Tokenizer implements it.
type Tokenizer interface {
	decision.Tokenizer
	ID(content string) (int32, bool)
	// EndTokens returns the tokens that end an answer, the same ones in training, evaluation and serving.
	EndTokens() ([]int32, error)
}

// Samples is the test part; *dataset.Samples implements it.
type Samples interface {
	Len() int
	At(i int) dataset.Sample
}

// Options of one evaluation. Base and retrained must be evaluated with the same.
type Options struct {
	Model          string  `json:"model"`           // name in figures and reports
	MaxNewTokens   int     `json:"max_new_tokens"`  // maximum per answer; 0: 512
	FallbackTokens int     `json:"fallback_tokens"` // maximum of a think-task made from a malformed answer; 0: decision.FallbackTokens
	BatchSize      int     `json:"batch_size"`      // answers generated at once; affects speed only; 0: 16
	MaxSamples     int     `json:"max_samples"`     // 0: all; else the samples with the smallest digests, so that every model gets the same
	EOS            []int32 `json:"eos"`             // tokens that end an answer; nil: the tokenizer's EndTokens, or what Session.Earlier began with

	// Plain evaluates a fine-tune without labels: every sample by its token loss, nothing by a decision. Only Answers
	// samples are answered, for people to read.
	Plain   bool `json:"plain,omitempty"`
	Answers int  `json:"answers,omitempty"` // with Plain alone: the samples with the smallest digests; 0: 32
}

// plainAnswers are enough to read in one sitting, and cost little next to the losses of a whole test part.
const plainAnswers = 32

func (o Options) withDefaults(t Tokenizer) (_ Options, err error) {
	o.MaxNewTokens = cmp.Or(o.MaxNewTokens, 512)
	o.FallbackTokens = cmp.Or(o.FallbackTokens, decision.FallbackTokens)
	o.BatchSize = cmp.Or(o.BatchSize, 16)
	if o.Plain {
		o.Answers = cmp.Or(o.Answers, plainAnswers)
	} else if o.Answers != 0 {
		return o, errors.New("evaluation options: Answers bounds the answers of a plain fine-tune; with labels every sample is answered")
	}
	if o.MaxNewTokens < 0 || o.FallbackTokens < 0 || o.BatchSize < 0 || o.MaxSamples < 0 || o.Answers < 0 {
		return o, fmt.Errorf("evaluation options: a negative number in %+v", o)
	}
	if o.EOS == nil {
		if o.EOS, err = t.EndTokens(); err != nil {
			return o, fmt.Errorf("evaluation options: %w", err)
		}
	}
	if len(o.EOS) == 0 {
		return o, errors.New("evaluation options: no token ends an answer")
	}
	return o, nil
}

// answering returns the options that affect the answers, with the others zeroed.
func (o Options) answering() Options {
	o.Model, o.BatchSize = "", 0
	return o
}

// batchesAtOnce is the number of samples handed to the model per slot, so that a slot whose
// answer ends early takes the next prompt instead of waiting for the longest answer.
const batchesAtOnce = 2

// question is one sample with its prompt.
type question struct {
	sample dataset.Sample
	at     int     // index in the test part
	asked  bool    // answered, not only measured by its loss
	prompt []int32 // the first prompt_length input_ids
}

// Batch is a group of samples answered together.
type Batch struct {
	StartedAt         time.Time  `json:"started_at"`
	Seconds           float64    `json:"seconds"`            // elapsed in total
	GenerationSeconds float64    `json:"generation_seconds"` // of Seconds, in Generate
	Decisions         []Decision `json:"decisions"`

	Version version.Version `json:"version,omitzero"` // that answered it; zero: unversioned
	EOS     []int32         `json:"eos,omitempty"`    // that ended its answers; nil: written before they were noted
}

// Session is one process's part of an evaluation; the next process continues from the batches that were
// saved. The zero value evaluates all samples without saving batches or reporting progress.
type Session struct {
	Earlier  []Batch               // already answered, of the same model, samples and answering options, in order
	Save     func(Batch) error     // called with each answered batch; an error ends the run
	Interval time.Duration         // of work that may be lost: a batch should take at most half of it; 0: unbounded
	Progress func(done, total int) // called with numbers of samples at the start and after each batch
}

// Run evaluates every sample that no earlier batch has answered. Cancelling ctx stops the run between
// batches and, where the model supports it, inside one.
//
// Samples of similar length are batched together. Decisions are returned, and losses summed, in the order of
// the test part, and a resumed session forms the same batches as an uninterrupted one, so that both give the
// same result. The exception is Interval, which shortens batches by elapsed time: a model whose sums round
// differently in other batches may then differ in the last bits.
//
// The model must have been opened for the longest sample plus MaxNewTokens. That is enough for scoring too: a
// think-task is no longer than an answer, and the decision line behind it no longer than the gold answer's tags.
func Run(ctx context.Context, m Model, t Tokenizer, samples Samples, o Options, s Session) (*Evaluation, error) {
	o, err := o.continuing(s.Earlier, t).withDefaults(t)
	if err != nil {
		return nil, err
	}
	r, err := newReader(t, o)
	if err != nil {
		return nil, err
	}
	e := &Evaluation{Model: o.Model, Options: o, Labels: quadruple.Labels}
	questions := r.questions(samples, o, e)
	if len(questions) == 0 {
		return nil, fmt.Errorf("evaluate %s: none of %d test samples can be asked", o.Model, samples.Len())
	}
	open, err := unanswered(questions, s.Earlier)
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", o.Model, err)
	}
	slices.SortStableFunc(open, func(a, b question) int { // those with an answer first: they take the longest
		return cmp.Or(one(b.asked)-one(a.asked), cmp.Compare(len(a.prompt), len(b.prompt)))
	})
	batches := slices.Clone(s.Earlier)
	for {
		if s.Progress != nil {
			s.Progress(len(questions)-len(open), len(questions))
		}
		if len(open) == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("evaluate %s: %w", o.Model, context.Cause(ctx))
		}
		asked := open[:min(len(open), batchLength(batches, batchesAtOnce*o.BatchSize, s.Interval))]
		b, err := askBatch(ctx, m, r, asked, o)
		if err != nil {
			return nil, fmt.Errorf("evaluate %s: %d samples from line %d: %w", o.Model, len(asked), asked[0].sample.SourceLine, err)
		}
		if s.Save != nil {
			if err := s.Save(b); err != nil {
				return nil, fmt.Errorf("evaluate %s: save %d answers: %w", o.Model, len(asked), err)
			}
		}
		batches, open = append(batches, b), open[len(asked):]
	}
	if err := e.take(questions, batches); err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", o.Model, err)
	}
	return e, nil
}

// take fills in decisions, sums and figures. Losses are summed sample by sample, so that the sum's
// last bits do not depend on the batches.
func (e *Evaluation) take(questions []question, batches []Batch) error {
	decisions := make(map[sampleID]Decision, len(questions))
	for _, b := range batches {
		if by := cmp.Or(b.Version, version.Unversioned); !slices.Contains(e.Versions, by) {
			e.Versions = append(e.Versions, by)
		}
		e.Totals.GenerationSeconds += b.GenerationSeconds
		for _, d := range b.Decisions {
			decisions[d.id()] = d
		}
	}
	for _, q := range questions {
		d := decisions[q.id()]
		e.Totals.LossSum += d.LossSum
		e.Totals.LabelledTokens += d.LabelledTokens
		e.Decisions = append(e.Decisions, d)
	}
	e.StartedAt, e.FinishedAt = batches[0].StartedAt, time.Now().UTC()
	return e.Recompute()
}

// sampleID is unique in the test part.
type sampleID struct {
	file   int
	line   int64
	digest string
}

func (q question) id() sampleID {
	return sampleID{q.sample.SourceFile, q.sample.SourceLine, q.sample.Digest}
}

func (d Decision) id() sampleID { return sampleID{d.SourceFile, d.SourceLine, d.Digest} }

// unanswered returns the questions that no earlier batch answers. It fails on an answer without a question: the
// batches then belong to other samples.
func unanswered(questions []question, earlier []Batch) ([]question, error) {
	answered := make(map[sampleID]bool, len(questions)) // false: asked, not answered
	for _, q := range questions {
		if _, twice := answered[q.id()]; twice {
			return nil, fmt.Errorf("line %d (digest %.12s) is in the test part twice", q.sample.SourceLine, q.sample.Digest)
		}
		answered[q.id()] = false
	}
	for i, b := range earlier {
		for _, d := range b.Decisions {
			before, asked := answered[d.id()]
			if !asked {
				return nil, fmt.Errorf("earlier batch %d answers line %d (digest %.12s), which is not asked", i+1, d.SourceLine, d.Digest)
			}
			if before {
				return nil, fmt.Errorf("earlier batch %d answers line %d (digest %.12s) once more", i+1, d.SourceLine, d.Digest)
			}
			answered[d.id()] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(questions), func(q question) bool { return answered[q.id()] }), nil
}

// quick is a duration up to which batches are never shortened, however small the interval: batches that do not
// depend on time are the same in every run.
const quick = 5 * time.Second

// batchLength is the number of samples of the next batch: full, unless that would take more than half an
// interval at the last batch's speed. The first batch has one sample; each may have four times the last one's.
func batchLength(batches []Batch, full int, interval time.Duration) int {
	if interval <= 0 {
		return full
	}
	if len(batches) == 0 {
		return 1
	}
	last := batches[len(batches)-1]
	n := len(last.Decisions)
	fit := max(interval/2, quick).Seconds() / last.Seconds * float64(n) // +Inf after a batch that took no time
	return max(1, int(min(fit, float64(4*n), float64(full))))
}

// questions lists the samples to evaluate, and enters the others in e.Skipped.
func (r *reader) questions(samples Samples, o Options, e *Evaluation) []question {
	var out []question
	for i := range samples.Len() {
		s := samples.At(i)
		prompt := s.InputIDs[:s.PromptLength]
		reason := ""
		switch {
		case o.Plain:
			if !slices.ContainsFunc(s.Labels, func(l int32) bool { return l >= 0 }) {
				reason = "the loss counts none of its tokens"
			}
		case quadruple.LabelIndex(s.Label) < 0:
			reason = fmt.Sprintf("label %q", s.Label)
		case !r.decider.EndsInHeader(prompt):
			reason = "its prompt does not end with the assistant's header"
		}
		if reason != "" {
			e.Skipped = append(e.Skipped, Skipped{SourceFile: s.SourceFile, SourceLine: s.SourceLine, Digest: s.Digest, Reason: reason})
			continue
		}
		out = append(out, question{sample: s, at: i, prompt: prompt, asked: !o.Plain})
	}
	byDigest := func(a, b question) int { return strings.Compare(a.sample.Digest, b.sample.Digest) }
	if o.Plain || o.MaxSamples > 0 && len(out) > o.MaxSamples {
		slices.SortStableFunc(out, byDigest)
		if o.MaxSamples > 0 {
			out = out[:min(o.MaxSamples, len(out))]
		}
		if o.Plain {
			askFirst(out, o.Answers)
		}
		slices.SortFunc(out, func(a, b question) int { return cmp.Compare(a.at, b.at) })
	}
	return out
}

// askBatch generates the answers of one batch, scores its labels where there are some, and computes its loss.
func askBatch(ctx context.Context, m Model, r *reader, batch []question, o Options) (b Batch, err error) {
	start := time.Now()
	b = Batch{StartedAt: start.UTC(), Version: version.Current(), EOS: o.EOS}
	var prompts [][]int32
	for _, q := range batch {
		if q.asked {
			prompts = append(prompts, q.prompt)
		}
	}
	var generations []engine.Generation
	if len(prompts) > 0 {
		generations, err = m.Generate(ctx, prompts, engine.GenerateOptions{MaxNewTokens: o.MaxNewTokens, BatchSize: o.BatchSize, EOS: o.EOS})
		if err != nil {
			return b, fmt.Errorf("generate: %w", err)
		}
		b.GenerationSeconds = time.Since(start).Seconds()
	}
	if len(generations) != len(prompts) {
		return b, fmt.Errorf("generate: %d answers to %d prompts", len(generations), len(prompts))
	}
	if o.Plain {
		b.Decisions = r.readPlain(batch, generations, o)
	} else {
		places := make([]decision.Place, len(batch))
		b.Decisions = make([]Decision, len(batch))
		for i, q := range batch {
			b.Decisions[i], places[i] = r.read(q, generations[i], o)
		}
		if err := r.score(ctx, m, prompts, places, b.Decisions); err != nil {
			return b, fmt.Errorf("score labels: %w", err)
		}
	}
	for i, q := range batch {
		if err := b.Decisions[i].takeLoss(ctx, m, q.sample); err != nil {
			return b, fmt.Errorf("loss: line %d: %w", q.sample.SourceLine, err)
		}
	}
	b.Seconds = time.Since(start).Seconds()
	return b, nil
}

// takeLoss computes the loss of one sample at a time: one pass, which is cheap next to an answer's hundreds.
func (d *Decision) takeLoss(ctx context.Context, m Model, s dataset.Sample) (err error) {
	d.LossSum, d.LabelledTokens, err = m.Loss(ctx, [][]int32{s.InputIDs}, [][]int32{s.Labels})
	if err == nil && (math.IsNaN(d.LossSum) || math.IsInf(d.LossSum, 0)) {
		err = fmt.Errorf("%v over %d tokens", d.LossSum, d.LabelledTokens)
	}
	return err
}
