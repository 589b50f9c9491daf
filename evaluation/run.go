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
	"so8t/engine"
	"so8t/tokenizer"
)

// Model is what an evaluation asks of a model; *engine.Model is one.
type Model interface {
	// Generate answers each prompt, greedily where Temperature is 0.
	Generate(ctx context.Context, prompts [][]int32, o engine.GenerateOptions) ([]engine.Generation, error)
	// Score returns [prompt][continuation] sums of log-probabilities, in nats.
	Score(ctx context.Context, prompts, continuations [][]int32) ([][]float64, error)
	// Loss returns the summed cross-entropy of the labelled tokens, in nats, and their number.
	Loss(ctx context.Context, inputIDs, labels [][]int32) (sum float64, targets int, err error)
}

// Tokenizer is what an evaluation asks of the model's tokenizer; *tokenizer.Tokenizer is one.
type Tokenizer interface {
	Encode(text string) []int32
	Decode(ids []int32, skipSpecial bool) string
	ID(content string) (int32, bool)
	ApplyChatTemplate(messages []tokenizer.Message, addGenerationPrompt bool) (string, error)
}

// Samples is the test part; *dataset.Samples is one.
type Samples interface {
	Len() int
	At(i int) dataset.Sample
}

// Options of one evaluation. Base and retrained are to be run with the same.
type Options struct {
	Model          string  `json:"model"`           // the name it gets in figures and reports
	MaxNewTokens   int     `json:"max_new_tokens"`  // bound of an answer; 0: 512
	FallbackTokens int     `json:"fallback_tokens"` // bound of a think-task made from a malformed answer; 0: 128
	BatchSize      int     `json:"batch_size"`      // answers generated at once; changes speed only; 0: 16
	MaxSamples     int     `json:"max_samples"`     // 0: all; else those with the smallest digests: the same for every model
	EOS            []int32 `json:"eos"`             // ends of an answer; nil: <|end|>, <|endoftext|>, </s>, those the tokenizer has
}

func (o Options) withDefaults(t Tokenizer) (Options, error) {
	o.MaxNewTokens = cmp.Or(o.MaxNewTokens, 512)
	o.FallbackTokens = cmp.Or(o.FallbackTokens, 128)
	o.BatchSize = cmp.Or(o.BatchSize, 16)
	if o.MaxNewTokens < 0 || o.FallbackTokens < 0 || o.BatchSize < 0 || o.MaxSamples < 0 {
		return o, fmt.Errorf("evaluation options: a negative number in %+v", o)
	}
	if o.EOS == nil {
		for _, content := range []string{"<|end|>", "<|endoftext|>", "</s>"} {
			if id, ok := t.ID(content); ok {
				o.EOS = append(o.EOS, id)
			}
		}
	}
	if len(o.EOS) == 0 {
		return o, errors.New("evaluation options: no end-of-sequence token: the tokenizer has none of <|end|>, <|endoftext|>, </s>")
	}
	return o, nil
}

// answering is what of the options has a part in the answers.
func (o Options) answering() Options {
	o.Model, o.BatchSize = "", 0
	return o
}

// batchesAtOnce samples per slot are handed to the model together, so that a slot whose
// answer ends early takes the next prompt instead of waiting for the longest answer.
const batchesAtOnce = 2

// question is one sample as the model is asked it.
type question struct {
	sample dataset.Sample
	at     int     // its place in the test part
	prompt []int32 // input_ids up to the first labelled token
}

// Run asks the model every sample. progress, which may be nil, is called after each few
// batches with the samples done and those in all; ctx ends the run between and, as the model
// allows, inside batches. Samples of similar length are asked together; decisions come
// back in the order of the test part.
//
// The model must have been opened for the longest sample plus MaxNewTokens: a think-task is at most as long
// as the answer may be, and the decision's line behind it takes the room of the gold answer's own tags.
func Run(ctx context.Context, m Model, t Tokenizer, samples Samples, o Options, progress func(done, total int)) (*Evaluation, error) {
	o, err := o.withDefaults(t)
	if err != nil {
		return nil, err
	}
	d, err := newDecider(t)
	if err != nil {
		return nil, err
	}
	e := &Evaluation{Model: o.Model, StartedAt: time.Now().UTC(), Options: o, Labels: Labels}
	questions := d.questions(samples, o.MaxSamples, e)
	if len(questions) == 0 {
		return nil, fmt.Errorf("evaluate %s: none of %d test samples can be asked", o.Model, samples.Len())
	}
	decisions := make(map[int]Decision, len(questions))
	byLength := slices.Clone(questions)
	slices.SortStableFunc(byLength, func(a, b question) int { return cmp.Compare(len(a.prompt), len(b.prompt)) })
	for batch := range slices.Chunk(byLength, batchesAtOnce*o.BatchSize) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("evaluate %s: %w", o.Model, context.Cause(ctx))
		}
		done, err := askBatch(ctx, m, d, batch, o, &e.Totals)
		if err != nil {
			return nil, fmt.Errorf("evaluate %s: %d samples from line %d: %w", o.Model, len(batch), batch[0].sample.SourceLine, err)
		}
		for i, q := range batch {
			decisions[q.at] = done[i]
		}
		if progress != nil {
			progress(len(decisions), len(questions))
		}
	}
	for _, q := range questions {
		e.Decisions = append(e.Decisions, decisions[q.at])
	}
	e.SamplesDigest = samplesDigest(e.Decisions)
	e.FinishedAt = time.Now().UTC()
	if e.Figures, err = figuresOf(e.Decisions, e.Totals); err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", o.Model, err)
	}
	return e, nil
}

// questions lists what can be asked, and notes in e what cannot.
func (d *decider) questions(samples Samples, maxSamples int, e *Evaluation) []question {
	var out []question
	for i := range samples.Len() {
		s := samples.At(i)
		prompt := s.InputIDs
		if first := slices.IndexFunc(s.Labels, func(l int32) bool { return l >= 0 }); first >= 0 {
			prompt = s.InputIDs[:first]
		}
		reason := ""
		switch {
		case labelIndex(s.Label) < 0:
			reason = fmt.Sprintf("label %q", s.Label)
		case len(prompt) == 0 || prompt[len(prompt)-1] != d.head[len(d.head)-1]:
			reason = "its prompt does not end with the assistant's header"
		}
		if reason != "" {
			e.Skipped = append(e.Skipped, Skipped{SourceLine: s.SourceLine, Digest: s.Digest, Reason: reason})
			continue
		}
		out = append(out, question{sample: s, at: i, prompt: prompt})
	}
	if maxSamples > 0 && len(out) > maxSamples {
		slices.SortStableFunc(out, func(a, b question) int { return strings.Compare(a.sample.Digest, b.sample.Digest) })
		out = out[:maxSamples]
		slices.SortFunc(out, func(a, b question) int { return cmp.Compare(a.at, b.at) })
	}
	return out
}

// askBatch generates, scores and takes the loss of one batch.
func askBatch(ctx context.Context, m Model, d *decider, batch []question, o Options, totals *Totals) ([]Decision, error) {
	prompts := make([][]int32, len(batch))
	inputs, labels := make([][]int32, len(batch)), make([][]int32, len(batch))
	for i, q := range batch {
		prompts[i], inputs[i], labels[i] = q.prompt, q.sample.InputIDs, q.sample.Labels
	}
	start := time.Now()
	generations, err := m.Generate(ctx, prompts, engine.GenerateOptions{MaxNewTokens: o.MaxNewTokens, BatchSize: o.BatchSize, EOS: o.EOS})
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	totals.GenerationSeconds += time.Since(start).Seconds()
	if len(generations) != len(batch) {
		return nil, fmt.Errorf("generate: %d answers to %d prompts", len(generations), len(batch))
	}
	out := make([]Decision, len(batch))
	places := make([]place, len(batch))
	for i, q := range batch {
		out[i], places[i] = d.read(q, generations[i], o)
	}
	if err := d.score(ctx, m, prompts, places, out); err != nil {
		return nil, fmt.Errorf("score labels: %w", err)
	}
	sum, targets, err := m.Loss(ctx, inputs, labels)
	if err != nil {
		return nil, fmt.Errorf("loss: %w", err)
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return nil, fmt.Errorf("loss: %v over %d tokens", sum, targets)
	}
	totals.LossSum += sum
	totals.LabelledTokens += targets
	return out, nil
}
