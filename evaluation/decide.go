package evaluation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"so8t/decision"
	"so8t/engine"
	"so8t/quadruple"
)

// reader turns answers into decisions.
type reader struct {
	tokenizer Tokenizer
	decider   *decision.Decider // nil in a plain run
}

func newReader(t Tokenizer, o Options) (*reader, error) {
	if o.Plain {
		return &reader{tokenizer: t}, nil
	}
	d, err := decision.New(t)
	if err != nil {
		return nil, err
	}
	return &reader{t, d}, nil
}

// read parses one answer, and returns where its four labels are scored.
func (r *reader) read(q question, g engine.Generation, o Options) (Decision, decision.Place) {
	tokens := o.withoutEnd(g.Tokens)
	text := r.tokenizer.Decode(tokens, false)
	at, own := decision.PlaceOf(text)
	if !own {
		at = decision.FallbackPlace(r.tokenizer.Decode(tokens[:min(len(tokens), o.FallbackTokens)], false))
	}
	_, wellFormed := quadruple.Parse(text)
	out := r.about(q)
	out.answered(text, g)
	out.Gold, out.Generated = q.sample.Label, quadruple.Written(text)
	out.WellFormed, out.LeakedThinking, out.OwnThinkTask = wellFormed && g.Finished, quadruple.Leaked(text), own
	return out, at
}

// about is a Decision that knows its sample, and no answer yet.
func (r *reader) about(q question) Decision {
	s := q.sample
	return Decision{SourceFile: s.SourceFile, SourceLine: s.SourceLine, Digest: s.Digest, Domain: s.Domain, NearDuplicate: s.NearDuplicate,
		Prompt: strings.TrimSpace(r.tokenizer.Decode(q.prompt, true))}
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

// score fills in the decisions. Samples whose labels have the same tokens are scored in one call: all of them,
// with a tokenizer that splits at spaces.
func (r *reader) score(ctx context.Context, m Model, prompts [][]int32, at []decision.Place, out []Decision) error {
	type group struct {
		continuations [4][]int32
		prompts       [][]int32
		at            []int
	}
	groups := map[string]*group{}
	var order []string // by first appearance, so that every run makes the same calls
	for i := range prompts {
		s, err := r.decider.Split(at[i])
		if err != nil {
			return fmt.Errorf("line %d: %w", out[i].SourceLine, err)
		}
		key := fmt.Sprint(s.Continuations)
		g := groups[key]
		if g == nil {
			g = &group{continuations: s.Continuations}
			groups[key] = g
			order = append(order, key)
		}
		g.prompts = append(g.prompts, slices.Concat(prompts[i], s.Context))
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
			decided, err := decision.Of(scores[row])
			if err != nil {
				return fmt.Errorf("line %d: %w", out[i].SourceLine, err)
			}
			out[i].Decided, out[i].Confidence, out[i].Probabilities = decided.Label, decided.Confidence, decided.Probabilities
		}
	}
	return nil
}
