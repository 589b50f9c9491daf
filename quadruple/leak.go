package quadruple

import (
	"strings"
	"unicode/utf8"
)

// guardedRunes is the length from which a line of thinking that a final answer repeats counts as leaked; a shorter
// one may well occur in an answer by itself.
const guardedRunes = 16

// Leaked reports whether thinking stood in the final section of a well-formed beginning: whether the Filter ends the
// answer early, at a tag or a look-alike of one, a decision line, or a line of the thinking word for word. Of a malformed
// text nothing leaves, and nothing behind </final>: neither leaks.
func Leaked(text string) bool {
	_, end := Answer(text)
	return end == Cut
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
