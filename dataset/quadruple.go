package dataset

import "strings"

// Quadruple is an answer in the form
//
//	<think-task>…</think-task><think-safety>decision: LABEL
//	…</think-safety><think-policy>…</think-policy><final>…</final>
type Quadruple struct {
	Task, Safety, Policy, Final string // what stands inside each element
	Decision                    string // one of Labels
}

var elements = [4]string{"think-task", "think-safety", "think-policy", "final"}

const decisionPrefix = "decision: "

// ParseQuadruple takes a text apart and says whether it is well-formed: the four elements in this order, each once,
// nothing but white space around them, the first line of think-safety exactly "decision: LABEL", and a final that is not blank.
func ParseQuadruple(text string) (Quadruple, bool) {
	q, ok := parseElements(text)
	if !ok {
		return Quadruple{}, false
	}
	line, _, _ := strings.Cut(q.Safety, "\n")
	decision, found := strings.CutPrefix(strings.TrimRight(line, " \t\r"), decisionPrefix)
	if !found || !isLabel(decision) {
		return Quadruple{}, false
	}
	q.Decision = decision
	return q, true
}

// parseElements is ParseQuadruple without regard to the decision.
func parseElements(text string) (q Quadruple, ok bool) {
	inside := [4]*string{&q.Task, &q.Safety, &q.Policy, &q.Final}
	rest := text
	for i, name := range elements {
		opening, closing := "<"+name+">", "</"+name+">"
		if rest, ok = strings.CutPrefix(strings.TrimSpace(rest), opening); !ok {
			return q, false
		}
		if *inside[i], rest, ok = strings.Cut(rest, closing); !ok {
			return q, false
		}
		if mentionsElement(*inside[i]) {
			return q, false
		}
	}
	return q, strings.TrimSpace(rest) == "" && strings.TrimSpace(q.Final) != ""
}

// mentionsElement finds the tags of the form anywhere in a text.
func mentionsElement(text string) bool {
	if !strings.Contains(text, "<") {
		return false
	}
	for _, name := range elements {
		if strings.Contains(text, "<"+name+">") || strings.Contains(text, "</"+name+">") {
			return true
		}
	}
	return false
}
