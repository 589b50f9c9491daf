package quadruple

import (
	"regexp"
	"strings"
)

var (
	anyLabel = strings.Join(Labels[:], "|")
	anyTag   = regexp.MustCompile(`</?(?:think-[a-z]+|final)>`)
	taskOf   = regexp.MustCompile(`(?s)` + ThinkTask.Opening() + `.*?` + ThinkTask.Closing())
	leadOf   = regexp.MustCompile(`^\s*` + ThinkSafety.Opening() + `\s*` + decisionKey) // directly behind the think-task
	labelOf  = regexp.MustCompile(`^[ \t]*(?:` + anyLabel + `)(\s|<)`)                  // directly behind that
	written  = regexp.MustCompile(ThinkSafety.Opening() + `\s*` + decisionKey + `[ \t]*(` + anyLabel + `)(?:\s|<|$)`)
)

// DecisionLead is what stands between the think-task and the label in training.
var DecisionLead = ThinkSafety.Opening() + DecisionLine("")

// Task finds the first closed think-task of an answer. element includes its tags, rest is what follows it.
func Task(text string) (element, rest string, ok bool) {
	at := taskOf.FindStringIndex(text)
	if at == nil {
		return "", "", false
	}
	return text[at[0]:at[1]], text[at[1]:], true
}

// CutDecision cuts what follows a think-task before the label: lead is the opening of think-safety and "decision:"
// with the line breaks the model wrote there, tail is what follows the label, empty if no label closed by white space
// or a tag stands there.
func CutDecision(rest string) (lead, tail string, ok bool) {
	if lead = leadOf.FindString(rest); lead == "" {
		return "", "", false
	}
	rest = rest[len(lead):]
	if end := labelOf.FindStringSubmatchIndex(rest); end != nil {
		tail = rest[end[2]:]
	}
	return lead, tail, true
}

// Written is the label that an answer's think-safety begins with, well-formed or not; empty if there is none.
func Written(text string) string {
	if q, ok := Parse(text); ok {
		return q.Decision
	}
	if m := written.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// WithoutTags is text without the form's tags.
func WithoutTags(text string) string { return anyTag.ReplaceAllString(text, "") }
