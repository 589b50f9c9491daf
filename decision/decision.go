// Package decision finds which of the four labels a model gives a prompt: by their likelihood behind the model's own
// think-task. Evaluation and serving both decide by it, so that what was evaluated is what is served.
//
//	d, err := decision.New(tokenizer)
//	place, own := decision.PlaceOf(answer)  // FallbackPlace where the answer has no think-task of its own
//	asked, err := d.Split(place)            // what to score behind the prompt
//	…                                       // the model scores asked.Continuations behind prompt and asked.Context
//	decided, err := decision.Of(scores)     // softmax, and the likeliest label
package decision

import (
	"errors"
	"fmt"
	"math"

	"so8t/quadruple"
)

// FallbackTokens bounds the think-task made from an answer that has none, in tokens of that answer.
const FallbackTokens = 128

// Decision is the label that a model gives a prompt.
type Decision struct {
	Label         string
	Confidence    float64    // the largest of Probabilities
	Probabilities [4]float64 // in the order of quadruple.Labels; sum 1
}

// Of returns the decision for the labels' log-probabilities, in nats and in the order of quadruple.Labels: their softmax
// and the likeliest label. Of equally likely labels it takes the more cautious one.
func Of(scores []float64) (d Decision, err error) {
	if len(scores) != len(quadruple.Labels) {
		return d, fmt.Errorf("%d scores for %d labels", len(scores), len(quadruple.Labels))
	}
	best := 0
	for i, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 1) {
			return d, fmt.Errorf("log-probability of %s is %v", quadruple.Labels[i], s)
		}
		if s >= scores[best] {
			best = i
		}
	}
	if math.IsInf(scores[best], -1) {
		return d, errors.New("all four labels have probability 0")
	}
	sum := 0.0
	for i, s := range scores {
		d.Probabilities[i] = math.Exp(s - scores[best])
		sum += d.Probabilities[i]
	}
	for i := range d.Probabilities {
		d.Probabilities[i] /= sum
	}
	d.Label, d.Confidence = quadruple.Labels[best], d.Probabilities[best]
	return d, nil
}
