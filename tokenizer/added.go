package tokenizer

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

type addedToken struct {
	content                    string
	id                         int32
	singleWord, lstrip, rstrip bool
}

// addedTokens finds added tokens in a text: leftmost, and of those the longest.
type addedTokens struct {
	byFirst [256][]addedToken // longest first
	any     bool
}

func (a *addedTokens) add(token addedToken) {
	first := token.content[0]
	a.byFirst[first] = append(a.byFirst[first], token)
	a.any = true
}

// sort orders them once all are added.
func (a *addedTokens) sort() {
	for _, list := range a.byFirst {
		sort.SliceStable(list, func(i, j int) bool { return len(list[i].content) > len(list[j].content) })
	}
}

// next returns the first match at or after from; ok is false if there is none.
func (a *addedTokens) next(s string, from int) (start int, token addedToken, ok bool) {
	for i := from; i < len(s); i++ {
		for _, token := range a.byFirst[s[i]] {
			if strings.HasPrefix(s[i:], token.content) {
				return i, token, true
			}
		}
	}
	return 0, addedToken{}, false
}

// cut walks over s and calls text for each stretch between added tokens and token for each of them, with where they lie.
// It follows find_matches of tokenizers (added_vocabulary.rs) step by step: matches are found in the
// raw text, before stripping widens them, and the inside of a match that fails single_word is not searched.
func (a *addedTokens) cut(s string, text func(start, stop int), token func(id int32, start, stop int)) {
	done := 0
	for from := 0; a.any; {
		start, match, ok := a.next(s, from)
		if !ok {
			break
		}
		stop := start + len(match.content)
		from = stop
		if match.singleWord && (endsInWord(s[:start]) || startsWithWord(s[stop:])) {
			continue
		}
		if match.lstrip {
			start = len(strings.TrimRightFunc(s[:start], unicode.IsSpace)) // possibly before done, where rstrip took it
		}
		if match.rstrip {
			stop = len(s) - len(strings.TrimLeftFunc(s[stop:], unicode.IsSpace))
		}
		if done < start {
			text(done, start)
		}
		token(match.id, start, stop)
		done = stop
	}
	if done < len(s) {
		text(done, len(s))
	}
}

func endsInWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

func startsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}

// isWord is \w of Unicode TR18, as Rust's regex has it.
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
}
