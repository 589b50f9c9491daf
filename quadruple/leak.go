package quadruple

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// guardedRunes is the length from which a line of thinking that a final answer repeats counts as leaked; a shorter
// one may well occur in an answer by itself.
const guardedRunes = 16

var decisionLine = regexp.MustCompile(`(?m)^\s*` + decisionKey + `[ \t]*(?:` + anyLabel + `)\b`)

// Leaked reports whether thinking stands inside <final>: a tag of the form, a decision line, or a line of
// think-safety or think-policy, of 16 characters or more, word for word. What follows an unclosed <final> counts as
// inside; an answer without <final> leaks nothing. think-task may be repeated: it restates the request.
func Leaked(text string) bool {
	thinking, final, ok := strings.Cut(text, Final.Opening())
	if !ok {
		return false
	}
	if end := strings.LastIndex(final, Final.Closing()); end >= 0 {
		final = final[:end]
	}
	if anyTag.MatchString(final) || decisionLine.MatchString(final) {
		return true
	}
	_, thinking, _ = strings.Cut(thinking, ThinkSafety.Opening())
	for _, line := range guardedLines(thinking) {
		if strings.Contains(final, line) {
			return true
		}
	}
	return false
}

// guardedLines are the trimmed lines of thinking, divided also by tags, that a final answer must not repeat.
func guardedLines(thinking string) (out []string) {
	for line := range strings.Lines(anyTag.ReplaceAllString(thinking, "\n")) {
		line = strings.TrimSpace(line)
		if utf8.RuneCountInString(line) >= guardedRunes {
			out = append(out, line)
		}
	}
	return out
}
