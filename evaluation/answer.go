package evaluation

import (
	"strings"

	"so8t/quadruple"
)

// answer is a generated text taken apart.
type answer struct {
	text         string
	context      string // up to where the label begins; empty without a closed think-task
	tail         string // what follows the label, a line end where that is not known
	ownThinkTask bool
	decision     string // as written, empty if none
	wellFormed   bool
	leaked       bool
}

func parseAnswer(text string) answer {
	a := answer{text: text, tail: "\n", decision: quadruple.Written(text), leaked: quadruple.Leaked(text)}
	_, a.wellFormed = quadruple.Parse(text)
	task, rest, ok := quadruple.Task(text)
	if !ok {
		return a
	}
	a.ownThinkTask = true
	a.context = task + quadruple.DecisionLead
	// The model's own line breaks around the decision stay: a dataset whose outputs are in the quadruple form has
	// taught it those.
	if lead, tail, ok := quadruple.CutDecision(rest); ok {
		a.context = task + lead + " "
		if tail != "" {
			a.tail = tail
		}
	}
	return a
}

// fallbackContext makes a think-task of an answer that has none.
func fallbackContext(text string) string {
	text = strings.TrimRight(text, "\uFFFD") // a character cut in half by the bound
	text = strings.TrimSpace(quadruple.WithoutTags(text))
	return quadruple.ThinkTask.Opening() + text + quadruple.ThinkTask.Closing() + quadruple.DecisionLead
}
