package guard

import (
	"context"
	"errors"

	"so8t/quadruple"
	"so8t/serve/audit"
)

// show passes visible text on up to a stop string.
func (a *answer) show(text string) error {
	if a.withheld {
		return nil
	}
	return a.leave(a.stop.write(text))
}

// leave gives text to the sink.
func (a *answer) leave(text string) error {
	if text == "" {
		return nil
	}
	a.visible.WriteString(text)
	if err := a.sink.Text(text); err != nil {
		return typed(err, clientGone)
	}
	return nil
}

// finishReason is why the answer ended.
func (a *answer) finishReason() string {
	switch end := a.filter.End(); {
	case a.stop.found, !a.withheld && (end == quadruple.Closed || end == quadruple.Open && a.finished):
		return Stop
	case a.bounded && end != quadruple.Cut:
		return Length
	}
	return ContentFilter
}

// completionTokens is the length of what has left, in the model's tokens.
func (a *answer) completionTokens() int {
	if a.visible.Len() == 0 {
		return 0
	}
	return len(a.language.tokenizer.Encode(a.visible.String()))
}

// forget overwrites the thinking.
func (a *answer) forget() {
	a.filter.Forget()
	clear(a.tokens[:cap(a.tokens)])
	a.tokens = nil
}

// close ends the sequence. No score may be under way.
func (a *answer) close() {
	if !a.closed {
		a.closed = true
		a.sequence.Close()
	}
}

// release gives up what the answer holds, however it ended.
func (a *answer) release() {
	a.cancel()
	a.scoring.Wait()
	a.close()
	a.forget()
}

// recordEnd writes the record of the end: of the answer, or of a request that came to none.
func (a *answer) recordEnd(ctx context.Context, result Result, failed error) error {
	finishReason, completion := result.FinishReason, result.CompletionTokens
	if failed != nil {
		finishReason, completion = aborted(failed), a.completionTokens()
	}
	ctx = context.WithoutCancel(ctx)
	if !a.recorded {
		r := a.request
		return recorded(a.guard.audit.Aborted(ctx, audit.Aborted{ID: r.ID, Key: r.Key, User: r.User, Model: a.verdict.Model, FinishReason: finishReason,
			PromptTokens: len(a.prompt.tokens), Prompt: []byte(a.prompt.text), Retry: r.Retry}))
	}
	end := a.filter.End()
	if end == "" { // it was ended before the filter did
		if end = quadruple.Open; a.withheld {
			end = quadruple.Cut
		}
	}
	return recorded(a.guard.audit.Done(ctx, audit.Done{ID: a.request.ID, FinishReason: finishReason, End: string(end),
		PromptTokens: len(a.prompt.tokens), CompletionTokens: completion}))
}

// recorded makes an Error of what the audit log returned.
func recorded(err error) error {
	if err == nil {
		return nil
	}
	unavailable := auditFailed
	return &unavailable
}

// aborted is the finish reason, in records alone, of a request that failed.
func aborted(failed error) string {
	e, ok := failed.(*Error)
	switch {
	case !ok || e.Kind != Cancelled:
		return "error"
	case errors.Is(e, context.DeadlineExceeded):
		return "deadline"
	}
	return "cancelled"
}
