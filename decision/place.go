package decision

import (
	"strings"

	"so8t/quadruple"
)

// Place is where a label stands in an assistant's text: what precedes it and what follows it.
type Place struct{ Context, Tail string }

// PlaceOf returns the place of the label in an answer, which may be malformed: behind its first closed think-task, with the
// answer's own line breaks around the decision, since outputs in the quadruple form have taught the model those. The tail
// is a line end where the answer does not tell. own is false if no think-task is closed: see FallbackPlace.
func PlaceOf(answer string) (p Place, own bool) {
	task, rest, ok := quadruple.Task(answer)
	if !ok {
		return Place{}, false
	}
	p = Place{Context: task + quadruple.DecisionLead, Tail: "\n"}
	if lead, tail, ok := quadruple.CutDecision(rest); ok {
		p.Context = task + lead + " "
		if tail != "" {
			p.Tail = tail
		}
	}
	return p, true
}

// FallbackPlace makes a think-task from the beginning of an answer that has none: its first FallbackTokens tokens.
func FallbackPlace(beginning string) Place {
	beginning = strings.TrimRight(beginning, "\uFFFD") // a character cut in half by the bound
	beginning = strings.TrimSpace(quadruple.WithoutTags(beginning))
	return Place{quadruple.ThinkTask.Opening() + beginning + quadruple.ThinkTask.Closing() + quadruple.DecisionLead, "\n"}
}
