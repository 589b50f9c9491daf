package evaluation

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"so8t/dataset"
)

// leakedRunes is the length from which a repeated line of thinking counts as leaked;
// below it a final answer may well hold the same words by itself.
const leakedRunes = 16

var (
	anyLabel = strings.Join(Labels[:], "|")
	tags     = regexp.MustCompile(`</?(?:think-[a-z]+|final)>`)
	taskOf   = regexp.MustCompile(`(?s)<think-task>.*?</think-task>`)
	leadOf   = regexp.MustCompile(`^\s*<think-safety>\s*decision:`)    // directly behind the think-task
	labelOf  = regexp.MustCompile(`^[ \t]*(?:` + anyLabel + `)(\s|<)`) // directly behind that
	written  = regexp.MustCompile(`<think-safety>\s*decision:[ \t]*(` + anyLabel + `)(?:\s|<|$)`)
	decision = regexp.MustCompile(`(?m)^\s*decision:[ \t]*(?:` + anyLabel + `)\b`)
)

// decisionLead is what stands between the think-task and the label in training.
var decisionLead = func() string {
	const task, label = "<think-task>t</think-task>", "ALLOW"
	text := dataset.Assistant(dataset.Record{
		FourClassLabel: label,
		Output:         task + "<think-safety>decision: " + label + "</think-safety><think-policy>p</think-policy><final>f</final>",
	})
	_, rest, _ := strings.Cut(text, "</think-task>")
	lead, _, _ := strings.Cut(rest, label)
	return lead
}()

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
	a := answer{text: text, tail: "\n", leaked: leaked(text)}
	if q, ok := dataset.ParseQuadruple(text); ok {
		a.wellFormed, a.decision = true, q.Decision
	} else if m := written.FindStringSubmatch(text); m != nil {
		a.decision = m[1]
	}
	task := taskOf.FindStringIndex(text)
	if task == nil {
		return a
	}
	a.ownThinkTask = true
	a.context = text[task[0]:task[1]] + decisionLead
	// The model's own line breaks around the decision are kept: a dataset that comes in
	// the quadruple form has taught it those.
	if lead := leadOf.FindString(text[task[1]:]); lead != "" {
		a.context = text[task[0]:task[1]] + lead + " "
		rest := text[task[1]+len(lead):]
		if end := labelOf.FindStringSubmatchIndex(rest); end != nil {
			a.tail = rest[end[2]:]
		}
	}
	return a
}

// fallbackContext makes a think-task of an answer that has none.
func fallbackContext(text string) string {
	text = strings.TrimRight(text, "\uFFFD") // a character cut in half by the bound
	text = strings.TrimSpace(tags.ReplaceAllString(text, ""))
	return "<think-task>" + text + "</think-task>" + decisionLead
}

// leaked reports whether thinking stands inside <final>, which is all that leaves the
// process when the model is served: a tag of the thinking sections, a decision line, or
// a line of the safety or policy section, of 16 characters or more, word for word. What follows an
// unclosed <final> counts as inside; an answer without <final> leaks nothing.
func leaked(text string) bool {
	thinking, final, ok := strings.Cut(text, "<final>")
	if !ok {
		return false
	}
	if end := strings.LastIndex(final, "</final>"); end >= 0 {
		final = final[:end]
	}
	if tags.MatchString(final) || decision.MatchString(final) {
		return true
	}
	_, thinking, _ = strings.Cut(thinking, "<think-safety>")
	for line := range strings.Lines(tags.ReplaceAllString(thinking, "\n")) {
		line = strings.TrimSpace(line)
		if utf8.RuneCountInString(line) >= leakedRunes && strings.Contains(final, line) {
			return true
		}
	}
	return false
}
