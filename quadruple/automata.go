package quadruple

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// fold appends a character to out as look-alikes are compared: NFKC, lower case, without format characters
// (zero-width space, soft hyphen …) and variation selectors.
func fold(out []rune, r rune) []rune {
	if r < 0x80 || plain(r) {
		return append(out, unicode.ToLower(r))
	}
	for _, c := range norm.NFKC.String(string(r)) {
		if !unicode.In(c, unicode.Cf, unicode.Variation_Selector) {
			out = append(out, unicode.ToLower(c))
		}
	}
	return out
}

func isLineEnd(r rune) bool {
	switch r {
	case '\n', '\v', '\f', '\r', '\u0085', '\u2028', '\u2029':
		return true
	}
	return false
}

// plain reports whether r is one of the letters and digits that most answers are made of, which folding leaves alone or
// only turns to lower case. Not all such characters are among them.
func plain(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	case 0x3041 <= r && r <= 0x3096, 0x30a1 <= r && r <= 0x30fa, 0x4e00 <= r && r <= 0x9fff: // kana, unified ideographs
		return true
	}
	return 0x3001 <= r && r <= 0x3002 || 0x300c <= r && r <= 0x300d || r == 'ー' // 、。「」
}

// lookalike finds, in folded characters, (<|&lt;) white space and one slash (think|final).
type lookalike struct {
	start  int    // byte of final where it begins
	seen   int    // characters; 0: nothing has begun
	opener string // left of "&lt;"
	slash  bool
	word   string // "think" or "final", once its first letter was read
	read   int    // characters of word
}

// step takes a folded character that begins at byte at, and reports whether it completes a look-alike.
func (l *lookalike) step(c rune, at int) bool {
	switch {
	case c == '<':
		*l = lookalike{start: at, seen: 1}
		return false
	case c == '&':
		*l = lookalike{start: at, seen: 1, opener: "lt;"}
		return false
	case l.seen == 0:
		return false
	}
	l.seen++
	switch {
	case l.opener != "" && c == rune(l.opener[0]):
		l.opener = l.opener[1:]
	case l.opener != "":
		*l = lookalike{}
	case l.word != "" && c == rune(l.word[l.read]):
		l.read++
		return l.read == len(l.word)
	case l.word != "":
		*l = lookalike{}
	case c == '/' && !l.slash:
		l.slash = true
	case unicode.IsSpace(c):
	case c == 't':
		l.word, l.read = "think", 1
	case c == 'f':
		l.word, l.read = "final", 1
	default:
		*l = lookalike{}
	}
	return false
}

// decisionLine finds, in a line's folded characters, white space, "decision:", white space and a label that no ASCII
// letter, digit or underscore follows.
type decisionLine struct {
	start int  // byte of final where the line begins
	dead  bool // the line is none
	key   int  // characters of "decision:" read
	label string
	read  int // characters of label
}

// labelled reports whether the label is whole.
func (d *decisionLine) labelled() bool { return !d.dead && d.label != "" && d.read == len(d.label) }

// step reports whether c, behind the label, completes a decision line.
func (d *decisionLine) step(c rune) bool {
	switch {
	case d.dead:
	case d.labelled():
		d.dead = true
		return !(c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z')
	case d.label != "" && c == rune(d.label[d.read]):
		d.read++
	case d.label != "":
		d.dead = true
	case (d.key == 0 || d.key == len(decisionKey)) && unicode.IsSpace(c):
	case d.key < len(decisionKey):
		if d.dead = c != rune(decisionKey[d.key]); !d.dead {
			d.key++
		}
	default:
		d.dead = true
		for _, label := range Labels {
			if label = strings.ToLower(label); c == rune(label[0]) {
				d.dead, d.label, d.read = false, label, 1
			}
		}
	}
	return false
}
