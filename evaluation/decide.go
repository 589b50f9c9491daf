package evaluation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"so8t/engine"
	"so8t/quadruple"
	"so8t/tokenizer"
)

// decider turns answers into decisions. It holds the assistant's header, which is put before every text that is
// tokenised, since the first tokens of an answer depend on it.
type decider struct {
	tokenizer Tokenizer
	headText  string
	head      []int32
}

func newDecider(t Tokenizer) (*decider, error) {
	head, err := t.ApplyChatTemplate([]tokenizer.Message{{Role: "user", Content: "?"}}, true)
	if err != nil {
		return nil, fmt.Errorf("render the assistant's header: %w", err)
	}
	ids := t.Encode(head)
	if len(ids) == 0 {
		return nil, errors.New("render the assistant's header: the chat template gives no tokens")
	}
	return &decider{tokenizer: t, headText: head, head: ids}, nil
}

// encode returns the tokens of an assistant's text as in training: those behind the header.
func (d *decider) encode(text string) ([]int32, error) {
	ids := d.tokenizer.Encode(d.headText + text)
	if !slices.Equal(ids[:min(len(d.head), len(ids))], d.head) {
		return nil, fmt.Errorf("the tokenizer merges the assistant's header with %q", text[:min(len(text), 24)])
	}
	return ids[len(d.head):], nil
}

// read parses one answer, and returns the context in which the four labels are scored.
func (d *decider) read(q question, g engine.Generation, o Options) (Decision, place) {
	tokens := o.withoutEnd(g.Tokens)
	a := parseAnswer(d.tokenizer.Decode(tokens, false))
	at := place{a.context, a.tail}
	if !a.ownThinkTask {
		at.context = fallbackContext(d.tokenizer.Decode(tokens[:min(len(tokens), o.FallbackTokens)], false))
	}
	out := d.about(q)
	out.answered(a.text, g)
	out.Gold, out.Generated = q.sample.Label, a.decision
	out.WellFormed, out.LeakedThinking, out.OwnThinkTask = a.wellFormed && g.Finished, a.leaked, a.ownThinkTask
	return out, at
}

// about is a Decision that knows its sample, and no answer yet.
func (d *decider) about(q question) Decision {
	s := q.sample
	return Decision{SourceFile: s.SourceFile, SourceLine: s.SourceLine, Digest: s.Digest, Domain: s.Domain, NearDuplicate: s.NearDuplicate,
		Prompt: strings.TrimSpace(d.tokenizer.Decode(q.prompt, true))}
}

func (d *Decision) answered(text string, g engine.Generation) {
	d.Answer, d.Finished = text, g.Finished
	d.GeneratedTokens, d.LatencySeconds = len(g.Tokens), g.Latency.Seconds()
}

// withoutEnd cuts tokens before the first that ends an answer.
func (o Options) withoutEnd(tokens []int32) []int32 {
	if end := slices.IndexFunc(tokens, func(id int32) bool { return slices.Contains(o.EOS, id) }); end >= 0 {
		return tokens[:end]
	}
	return tokens
}

// place is the text before and behind a label.
type place struct{ context, tail string }

// labelScoring is a context and the continuation of each label, in tokens.
type labelScoring struct {
	context       []int32
	continuations [4][]int32
}

// split tokenises context + label + tail as one text for each label, divides the four where
// they begin to differ, and ends each with the first token that reaches beyond the label: the line
// end, or whatever closes the label in the model's own answer. The tail is included because a
// vocabulary may merge that line end with what follows it.
func (d *decider) split(at place) (labelScoring, error) {
	var whole [4][]int32
	for i, label := range quadruple.Labels {
		ids, err := d.encode(at.context + label + at.tail)
		if err != nil {
			return labelScoring{}, err
		}
		end, err := d.closed(ids, at.context+label)
		if err != nil {
			return labelScoring{}, err
		}
		whole[i] = ids[:end]
	}
	common := commonPrefix(whole[:])
	s := labelScoring{context: whole[0][:common]}
	for i := range whole {
		s.continuations[i] = whole[i][common:]
		if len(s.continuations[i]) == 0 {
			return s, fmt.Errorf("the tokens of %s begin those of another label", quadruple.Labels[i])
		}
	}
	return s, nil
}

// closed returns the number of ids up to and including the first one that reaches beyond text.
func (d *decider) closed(ids []int32, text string) (int, error) {
	alone, err := d.encode(text)
	if err != nil {
		return 0, err
	}
	length := len(d.tokenizer.Decode(alone, false)) // not len(text): some added tokens strip white space
	// The two tokenisations differ by a few tokens at the end of text, and nowhere else.
	for n := commonPrefix([][]int32{alone, ids}) + 1; n <= len(ids); n++ {
		if len(d.tokenizer.Decode(ids[:n], false)) > length {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no token closes %q", text[max(0, len(text)-24):])
}

func commonPrefix(of [][]int32) int {
	n := 0
	for ; n < len(of[0]); n++ {
		for _, ids := range of[1:] {
			if n >= len(ids) || ids[n] != of[0][n] {
				return n
			}
		}
	}
	return n
}

// score fills in the decisions. Samples whose labels have the same tokens are scored in one call: all of them,
// with a tokenizer that splits at spaces.
func (d *decider) score(ctx context.Context, m Model, prompts [][]int32, at []place, out []Decision) error {
	type group struct {
		continuations [4][]int32
		prompts       [][]int32
		at            []int
	}
	groups := map[string]*group{}
	var order []string // by first appearance, so that every run makes the same calls
	for i := range prompts {
		s, err := d.split(at[i])
		if err != nil {
			return fmt.Errorf("line %d: %w", out[i].SourceLine, err)
		}
		key := fmt.Sprint(s.continuations)
		g := groups[key]
		if g == nil {
			g = &group{continuations: s.continuations}
			groups[key] = g
			order = append(order, key)
		}
		g.prompts = append(g.prompts, slices.Concat(prompts[i], s.context))
		g.at = append(g.at, i)
	}
	for _, key := range order {
		g := groups[key]
		scores, err := m.Score(ctx, g.prompts, g.continuations[:])
		if err != nil {
			return err
		}
		if len(scores) != len(g.prompts) {
			return fmt.Errorf("%d rows of scores for %d prompts", len(scores), len(g.prompts))
		}
		for row, i := range g.at {
			if err := out[i].decide(scores[row]); err != nil {
				return fmt.Errorf("line %d: %w", out[i].SourceLine, err)
			}
		}
	}
	return nil
}

// decide sets probabilities = softmax(scores), the decision and its confidence.
func (d *Decision) decide(scores []float64) error {
	if len(scores) != len(quadruple.Labels) {
		return fmt.Errorf("%d scores for %d labels", len(scores), len(quadruple.Labels))
	}
	best := 0
	for i, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 1) {
			return fmt.Errorf("log-probability of %s is %v", quadruple.Labels[i], s)
		}
		if s >= scores[best] { // of equal ones the more cautious label
			best = i
		}
	}
	if math.IsInf(scores[best], -1) {
		return errors.New("all four labels have probability 0")
	}
	sum := 0.0
	for i, s := range scores {
		d.Probabilities[i] = math.Exp(s - scores[best])
		sum += d.Probabilities[i]
	}
	for i := range d.Probabilities {
		d.Probabilities[i] /= sum
	}
	d.Decided, d.Confidence = quadruple.Labels[best], d.Probabilities[best]
	return nil
}
