package evaluation

import (
	"context"
	"fmt"

	"so8t/decision"
	"so8t/engine"
)

// DecideForced scores the labels of the first n samples behind the samples' own think-tasks. Nothing is
// generated: this compares two forms of one model, and does not judge it.
func DecideForced(ctx context.Context, m Model, t Tokenizer, samples Samples, n int) ([]Decision, error) {
	o, err := Options{}.withDefaults(t)
	if err != nil {
		return nil, err
	}
	r, err := newReader(t, o)
	if err != nil {
		return nil, err
	}
	questions := r.questions(samples, Options{}, &Evaluation{})
	questions = questions[:min(n, len(questions))]
	decisions, places, prompts := make([]Decision, len(questions)), make([]decision.Place, len(questions)), make([][]int32, len(questions))
	for i, q := range questions {
		gold := engine.Generation{Tokens: q.sample.InputIDs[len(q.prompt):], Finished: true}
		prompts[i] = q.prompt
		decisions[i], places[i] = r.read(q, gold, o)
	}
	if err := r.score(ctx, m, prompts, places, decisions); err != nil {
		return nil, fmt.Errorf("score labels: %w", err)
	}
	return decisions, nil
}
