package quadruple

import "strings"

// Section is one of the form's four elements, in their order.
type Section int

const (
	ThinkTask Section = iota
	ThinkSafety
	ThinkPolicy
	Final
)

var sections = [4]Section{ThinkTask, ThinkSafety, ThinkPolicy, Final}

// String is the element's name.
func (s Section) String() string {
	return [4]string{"think-task", "think-safety", "think-policy", "final"}[s]
}

// Opening is the element's opening tag.
func (s Section) Opening() string { return "<" + s.String() + ">" }

// Closing is the element's closing tag.
func (s Section) Closing() string { return "</" + s.String() + ">" }

// tags are the eight of the form.
var tags = func() (all []string) {
	for _, s := range sections {
		all = append(all, s.Opening(), s.Closing())
	}
	return all
}()

// decisionKey begins the first line of think-safety.
const decisionKey = "decision:"

// DecisionLine is the first line of think-safety for a label.
func DecisionLine(label string) string { return decisionKey + " " + label }

// Quadruple is a text in the form, taken apart.
type Quadruple struct {
	Task, Safety, Policy, Final string // what stands inside each element
	Decision                    string // one of Labels; part of Safety, not written by String
}

// String writes the four elements with nothing between them.
func (q Quadruple) String() string {
	var b strings.Builder
	for i, inside := range [4]string{q.Task, q.Safety, q.Policy, q.Final} {
		b.WriteString(sections[i].Opening() + inside + sections[i].Closing())
	}
	return b.String()
}

// Decided is q with the line "decision: LABEL" in front of its think-safety. It reports false, and leaves q as it
// is, if think-safety begins with a decision already.
func (q Quadruple) Decided(label string) (Quadruple, bool) {
	if strings.HasPrefix(strings.TrimSpace(q.Safety), decisionKey) {
		return q, false
	}
	q.Safety = DecisionLine(label) + "\n" + strings.TrimLeft(q.Safety, "\r\n")
	q.Decision = label
	return q, true
}
