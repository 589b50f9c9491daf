package guard

import (
	"context"

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

// recordEnd writes the record of the end, where there is one of the answer.
func (a *answer) recordEnd(ctx context.Context, result Result, failed error) error {
	if !a.recorded {
		return nil
	}
	finishReason, completion := result.FinishReason, result.CompletionTokens
	if failed != nil {
		finishReason, completion = "error", a.completionTokens()
		if e, ok := failed.(*Error); ok && e.Kind == Cancelled {
			finishReason = "cancelled"
		}
	}
	end := a.filter.End()
	if end == "" { // it was ended before the filter did
		if end = quadruple.Open; a.withheld {
			end = quadruple.Cut
		}
	}
	err := a.guard.audit.Done(context.WithoutCancel(ctx), audit.Done{ID: a.request.ID, FinishReason: finishReason, End: string(end),
		PromptTokens: len(a.prompt.tokens), CompletionTokens: completion})
	if err != nil {
		unavailable := auditFailed
		return &unavailable
	}
	return nil
}
