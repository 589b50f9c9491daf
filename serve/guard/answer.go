package guard

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"so8t/decision"
	"so8t/quadruple"
	"so8t/serve/audit"
)

// answer is one request on its way.
type answer struct {
	guard    *Guard
	request  Request
	language *language
	prompt   prompt
	sink     Sink
	sequence Sequence
	closed   bool
	cancel   context.CancelFunc // of the context that the sequence began with

	filter    quadruple.Filter
	tokens    []int32 // generated before the thinking was complete
	generated int
	finished  bool // the model ended it itself
	bounded   bool // the bound of tokens ended it

	scores  chan outcome // nil: not asked for
	scoring sync.WaitGroup

	verdict  Verdict
	recorded bool // the answer's record is written: that of its end must follow
	withheld bool // the fallback leaves instead of the model's text
	stop     stop
	visible  strings.Builder // all that has left
}

// outcome is what scoring has come to.
type outcome struct {
	decided decision.Decision
	err     error
}

// run reads the sequence to its end.
func (a *answer) run(ctx context.Context) (result Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = caught(value)
		}
		a.release()
		if recordErr := a.recordEnd(ctx, result, err); err == nil {
			err = recordErr
		}
		if err != nil {
			result = Result{}
		}
	}()
	for !a.over() {
		if err := a.next(ctx); err != nil {
			return Result{}, err
		}
	}
	if !a.recorded { // malformed
		if err := a.record(ctx); err != nil {
			return Result{}, err
		}
	}
	a.close()
	if err := a.leave(a.stop.close()); err != nil {
		return Result{}, err
	}
	if a.visible.Len() == 0 && !a.stop.found { // withheld, or blank
		a.withheld = true
		if err := a.leave(a.guard.options.Fallback); err != nil {
			return Result{}, err
		}
	}
	result = Result{Verdict: a.verdict, Answer: a.visible.String(), FinishReason: a.finishReason(), PromptTokens: len(a.prompt.tokens)}
	result.CompletionTokens, result.ReasoningTokens = a.completionTokens(), a.generated
	if !a.withheld {
		result.ReasoningTokens = max(0, a.generated-result.CompletionTokens)
	}
	return result, nil
}

// over reports whether nothing more of the sequence can leave.
func (a *answer) over() bool { return a.filter.End() != "" || a.withheld || a.stop.found }

// next takes the next tokens of the sequence.
func (a *answer) next(ctx context.Context) error {
	tokens, ended, finished, err := a.sequence.Next(ctx)
	if err != nil {
		return failure(ctx, err, modelFailed)
	}
	for _, id := range tokens {
		if slices.Contains(a.language.ends, id) {
			ended, finished = true, true
			break
		}
		if err := a.take(ctx, id); err != nil {
			return err
		}
		if a.over() {
			return nil
		}
	}
	if !ended {
		return nil
	}
	a.finished, a.bounded = finished, !finished
	return a.show(a.filter.Close())
}

// take passes one token through the filter, and does what it completes.
func (a *answer) take(ctx context.Context, id int32) error {
	a.generated++
	if !a.filter.Opened() {
		a.tokens = append(a.tokens, id)
	}
	text := a.filter.Write(a.language.tokenizer.Bytes(id))
	if a.scores == nil && a.filter.Decision() != "" {
		a.askScores(ctx)
	}
	if a.filter.Opened() && !a.recorded {
		if err := a.record(ctx); err != nil {
			return err
		}
	}
	return a.show(text)
}

// askScores scores the labels beside the generation, where the evaluation does. The tokens so far are read there and not
// changed here until the scores are known.
func (a *answer) askScores(ctx context.Context) {
	a.scores = make(chan outcome, 1)
	tokens := a.tokens
	a.scoring.Go(func() {
		var o outcome
		defer func() {
			if value := recover(); value != nil {
				o.err = caught(value)
			}
			a.scores <- o
		}()
		o.decided, o.err = a.decide(ctx, tokens)
	})
}

func (a *answer) decide(ctx context.Context, tokens []int32) (d decision.Decision, err error) {
	decode := a.language.tokenizer.Decode
	at, own := decision.PlaceOf(decode(tokens, false))
	if !own {
		at = decision.FallbackPlace(decode(tokens[:min(len(tokens), decision.FallbackTokens)], false))
	}
	asked, err := a.language.decider.Split(at)
	if err != nil {
		return d, err
	}
	scores, err := a.sequence.Score(ctx, asked.Context, asked.Continuations[:])
	if err != nil {
		return d, err
	}
	return decision.Of(scores)
}

// record settles the verdict, passes the case on where a person must decide, writes the record, and begins the answer.
func (a *answer) record(ctx context.Context) error {
	if a.scores == nil {
		a.askScores(ctx)
	}
	var o outcome
	select {
	case o = <-a.scores:
	case <-ctx.Done():
		o.err = ctx.Err()
	}
	if o.err != nil {
		return failure(ctx, o.err, scoreFailed)
	}
	written := a.judge(o.decided)
	if a.withheld {
		a.close()
	}
	v, r, g := &a.verdict, a.request, a.guard
	durable := context.WithoutCancel(ctx) // a record that may be half written would be neither there nor not
	// Whoever asks for too few tokens gets a malformed answer at will: no person is called for that.
	starved := a.bounded && a.filter.End() == quadruple.Malformed
	if v.Label == quadruple.Labels[quadruple.Escalation] && g.escalate != nil && !starved {
		id, err := g.escalate.Escalate(durable, Case{RequestID: r.ID, Key: r.Key, User: r.User, Query: a.prompt.query, Confidence: v.Confidence,
			Model: v.Model, Time: time.Now().UTC()})
		if err != nil {
			return typed(err, escalationFailed)
		}
		v.EscalationID = id
	}
	end := quadruple.Open
	if a.filter.End() == quadruple.Malformed {
		end = quadruple.Malformed
	}
	hash, err := g.audit.Answer(durable, audit.Answer{ID: r.ID, Key: r.Key, User: r.User, Label: v.Label, Written: written, Confidence: v.Confidence,
		Escalated: v.Escalated, Escalation: v.EscalationID, End: string(end), Model: v.Model, Reasoning: a.filter.Thinking(),
		Prompt: []byte(a.prompt.text), Retry: r.Retry})
	if err != nil {
		return recorded(err)
	}
	a.recorded, v.ReasoningHash = true, hash
	a.forget()
	if ctx.Err() != nil {
		return failure(ctx, ctx.Err(), clientGone)
	}
	if err := a.sink.Begin(*v); err != nil {
		return typed(err, clientGone)
	}
	return nil
}

// told is a confidence as it is told and recorded: with four digits. It depends on the thinking that it was scored behind;
// all of its digits would let whoever has the model confirm a guess at that, which the keyed hash is there to prevent.
func told(confidence float64) float64 { return math.Round(confidence*1e4) / 1e4 }

// judge sets the verdict, and returns the label that the answer states itself. The label is the stricter of that and the
// scored one. Where it is not the stated one, the text was written for a laxer decision and does not leave.
func (a *answer) judge(scored decision.Decision) (written string) {
	v, o := &a.verdict, a.guard.options
	malformed := a.filter.End() == quadruple.Malformed
	if written = a.filter.Decision(); malformed {
		written = quadruple.Written(a.language.tokenizer.Decode(a.tokens, false))
	}
	escalation := quadruple.Labels[quadruple.Escalation]
	v.Label, v.Confidence = stricter(scored.Label, written), told(scored.Confidence)
	if malformed {
		v.Label = stricter(v.Label, escalation)
	}
	v.Escalated = malformed || v.Label == escalation || written != scored.Label || scored.Confidence < o.MinConfidence
	refused := quadruple.LabelIndex(v.Label) >= quadruple.Deny
	a.withheld = malformed || v.Label != written || refused && o.Refusal == Fixed
	return written
}
