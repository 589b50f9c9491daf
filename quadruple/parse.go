package quadruple

import "strings"

// Parse takes a text apart and reports whether it is well-formed: the four elements in order, each once, none inside
// another, nothing but white space around them, the first line of think-safety exactly "decision: LABEL", and a final
// that is not blank.
func Parse(text string) (Quadruple, bool) {
	q, ok := Split(text)
	if !ok {
		return Quadruple{}, false
	}
	if q.Decision = decisionOf(q.Safety); q.Decision == "" {
		return Quadruple{}, false
	}
	return q, true
}

// Split is Parse without the decision, which it neither checks nor fills in.
func Split(text string) (q Quadruple, ok bool) {
	inside := [4]*string{&q.Task, &q.Safety, &q.Policy, &q.Final}
	rest := text
	for i, s := range sections {
		if rest, ok = strings.CutPrefix(strings.TrimSpace(rest), s.Opening()); !ok {
			return q, false
		}
		if *inside[i], rest, ok = strings.Cut(rest, s.Closing()); !ok || containsTag(*inside[i]) {
			return q, false
		}
	}
	return q, strings.TrimSpace(rest) == "" && strings.TrimSpace(q.Final) != ""
}

// decisionOf returns the label of think-safety's first line, empty unless that is exactly "decision: LABEL".
func decisionOf(safety string) string {
	line, _, _ := strings.Cut(safety, "\n")
	label, found := strings.CutPrefix(strings.TrimRight(line, " \t\r"), DecisionLine(""))
	if !found || !IsLabel(label) {
		return ""
	}
	return label
}

func containsTag(text string) bool {
	if !strings.Contains(text, "<") {
		return false
	}
	for _, tag := range tags {
		if strings.Contains(text, tag) {
			return true
		}
	}
	return false
}
