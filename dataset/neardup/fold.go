package neardup

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold writes the folded text to s.folded: NFKC, lower case, runs of white space as one space, none at the ends.
func (s *sketch) fold(text string) {
	s.normal = norm.NFKC.AppendString(s.normal[:0], text)
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
