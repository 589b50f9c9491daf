package neardup

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalise writes the text in NFKC to s.normal. Normal runs are copied, all but their last character: what follows may
// compose with it.
func (s *sketch) normalise(text string) {
	s.normal = s.normal[:0]
	for text != "" {
		last, end := 0, 0 // of the normal run
		for end < len(text) {
			size := normalAt(text[end:])
			if size == 0 {
				break
			}
			last, end = end, end+size
		}
		if end == len(text) {
			last = end
		}
		s.normal = append(s.normal, text[:last]...)
		text = text[last:]
		for end -= last; end < len(text) && normalAt(text[end:]) == 0; {
			_, size := utf8.DecodeRuneInString(text[end:])
			end += size
		}
		s.normal = norm.NFKC.AppendString(s.normal, text[:end])
		text = text[end:]
	}
}

// normalAt returns the size of the text's first character where it is ASCII, a kana or a Han character that NFKC leaves as it
// is and that composes with none before it, and 0 where it is another.
func normalAt(text string) int {
	c := text[0]
	if c < utf8.RuneSelf {
		return 1
	}
	if c < 0xE3 || c > 0xE9 || len(text) < 3 || text[1]&0xC0 != 0x80 || text[2]&0xC0 != 0x80 {
		return 0
	}
	r := rune(c&0x0F)<<12 | rune(text[1]&0x3F)<<6 | rune(text[2]&0x3F)
	if r >= '\u4E00' && r <= '\u9FFF' || r >= 'ぁ' && r <= 'ゖ' || r >= 'ァ' && r <= 'ヾ' || r >= '、' && r <= '〕' {
		return 3
	}
	return 0
}

// fold writes the folded text to s.folded: NFKC, lower case, runs of white space as one space, none at the ends.
func (s *sketch) fold(text string) {
	s.normalise(text)
	folded := s.folded[:0]
	space := true // none at the start
	for i := 0; i < len(s.normal); {
		c := s.normal[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s.normal[i:])
			switch {
			case unicode.IsSpace(r):
				c = ' '
			case r >= noCase && r <= noCaseEnd || size == 1:
				folded, space = append(folded, s.normal[i:i+size]...), false
				i += size
				continue
			default:
				folded, space = utf8.AppendRune(folded, unicode.ToLower(r)), false
				i += size
				continue
			}
			i += size - 1
		}
		i++
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == ' ' || '\t' <= c && c <= '\r':
			if space {
				continue
			}
			folded, space = append(folded, ' '), true
			continue
		}
		folded, space = append(folded, c), false
	}
	if space && len(folded) > 0 {
		folded = folded[:len(folded)-1]
	}
	s.folded = folded
}

// Kana and Han letters, the most of Japanese text, have no case.
const (
	noCase    = '\u3001'
	noCaseEnd = '\u9FFF'
)
