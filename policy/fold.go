package policy

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// opaque stands in a folded text for a mask that is already there: no rule reads its letters.
const opaque = '\uFFFC'

// group is a run of digits, [start, end) in runes.
type group struct{ start, end int }

// folded is a text as the rules read it: full-width and half-width forms folded (as Unicode's width folding does, voiced
// marks composed), every space but a line end and a tab a plain one. Case stays. Rune i stands at bytes [at[i], at[i+1]) of text.
type folded struct {
	text   string
	r      []rune
	at     []int32
	digits []group        // runs of 0 to 9, in order
	kanji  []group        // runs of kanji digits, in order
	ats    []int          // where an @ stands
	places []int          // where 市, 区, 町, 村 or 郡 stands
	colons []int          // where two colons stand side by side, or one between hexadecimal digits
	plus   []int          // where a + stands before a digit or a parenthesis
	rows   []row          // the lines, read when a heading is first asked for
	tables map[int][]name // the names in the first row of a table, by its index in rows
}

// fold reads a text once.
func fold(text string) *folded {
	t := foldings.Get().(*folded)
	t.text = text
	if cap(t.r) < len(text) {
		if n := utf8.RuneCountInString(text); cap(t.r) < n {
			t.r, t.at = make([]rune, 0, n), make([]int32, 0, n+1)
		}
	}
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r == '[' {
			if mask := maskAt(text[i:]); mask > 0 {
				r, size = opaque, mask
			}
		} else if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
			r = foldRune(r)
			if r == 0x3099 || r == 0x309A {
				if t.compose(r) {
					i += size
					continue
				}
			}
		}
		t.r = append(t.r, r)
		t.at = append(t.at, int32(i))
		i += size
	}
	t.at = append(t.at, int32(len(text)))
	t.index()
	return t
}

// foldings are spent, for their memory.
var foldings = sync.Pool{New: func() any { return new(folded) }}

// free gives the memory of a text that nobody reads any more to the next. That of a rare long one is let go.
func (t *folded) free() {
	if cap(t.r) <= 64<<10 {
		*t = folded{r: t.r[:0], at: t.at[:0], digits: t.digits[:0], kanji: t.kanji[:0], ats: t.ats[:0], places: t.places[:0],
			colons: t.colons[:0], plus: t.plus[:0]}
		foldings.Put(t)
	}
}

// index notes where rules have to look.
func (t *folded) index() {
	for i, r := range t.r {
		switch {
		case isDigit(r):
			t.digits = extend(t.digits, i)
		case r < utf8.RuneSelf:
			switch r {
			case '@':
				t.ats = append(t.ats, i)
			case ':':
				if c := t.peek(i - 1); c == ':' || isHex(c) && isHex(t.peek(i+1)) {
					t.colons = append(t.colons, i)
				}
			case '+':
				if c := t.peek(i + 1); isDigit(c) || c == '(' {
					t.plus = append(t.plus, i)
				}
			}
		case r < 1<<16:
			if has := traitsOf[r]; has&hasNumeral != 0 {
				t.kanji = extend(t.kanji, i)
			} else if has&hasPlace != 0 {
				t.places = append(t.places, i)
			}
		}
	}
}

// extend adds position i to the last group, or begins one.
func extend(groups []group, i int) []group {
	if n := len(groups); n > 0 && groups[n-1].end == i {
		groups[n-1].end++
		return groups
	}
	return append(groups, group{i, i + 1})
}

// compose adds a voiced mark to the kana before it.
func (t *folded) compose(mark rune) bool {
	n := len(t.r)
	if n == 0 {
		return false
	}
	r := t.r[n-1]
	switch {
	case mark == 0x309A && strings.ContainsRune("はひふへほハヒフヘホ", r):
		r += 2
	case mark == 0x3099 && r == 'ウ':
		r = 'ヴ'
	case mark == 0x3099 && strings.ContainsRune("かきくけこさしすせそたちつてとはひふへほカキクケコサシスセソタチツテトハヒフヘホ", r):
		r++
	default:
		return false
	}
	t.r[n-1] = r
	return true
}

// foldRune folds one rune beyond ASCII.
func foldRune(r rune) rune {
	switch {
	case r >= 0xFF01 && r <= 0xFF5E:
		return r - 0xFEE0
	case r >= 0xFF61 && r <= 0xFF9F:
		return halfKana[r-0xFF61]
	case r == 0x3000 || r == 0xA0 || r >= 0x2000 && r <= 0x200A || r == 0x202F || r == 0x205F:
		return ' '
	case r == 0xFFE5:
		return '¥'
	case r == 0xFE63 || r == 0x2011:
		return '-'
	}
	return r
}

// halfKana folds U+FF61 to U+FF9F.
var halfKana = []rune("。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン\u3099\u309A")

// peek returns rune i, and a line end beyond the text: a line end is part of no value.
func (t *folded) peek(i int) rune {
	if i < 0 || i >= len(t.r) {
		return '\n'
	}
	return t.r[i]
}

// hasAt tells whether s stands at rune i.
func (t *folded) hasAt(i int, s string) bool {
	for _, r := range s {
		if t.peek(i) != r {
			return false
		}
		i++
	}
	return true
}

// endsAt tells whether s ends before rune i.
func (t *folded) endsAt(i int, s string) bool { return t.hasAt(i-utf8.RuneCountInString(s), s) }

func isDigit(r rune) bool  { return r >= '0' && r <= '9' }
func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
func isUpper(r rune) bool  { return r >= 'A' && r <= 'Z' }
func isHex(r rune) bool    { return isDigit(r) || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F' }
func isWord(r rune) bool   { return isDigit(r) || isLetter(r) || r == '_' }

func lower(r rune) rune {
	if isUpper(r) {
		return r + 'a' - 'A'
	}
	return r
}

// isHyphen tells what joins groups of digits: the hyphens and dashes, the minus sign and the long vowel mark.
func isHyphen(r rune) bool {
	return r == '-' || r >= 0x2010 && r <= 0x2015 || r == 0x2212 || r == 'ー'
}

// kanjiDigit returns the value of a kanji digit, −1 for any other rune.
func kanjiDigit(r rune) int {
	switch r {
	case '〇', '零', '○': // the circle is what keyboards offer first
		return 0
	case '一':
		return 1
	case '二':
		return 2
	case '三':
		return 3
	case '四':
		return 4
	case '五':
		return 5
	case '六':
		return 6
	case '七':
		return 7
	case '八':
		return 8
	case '九':
		return 9
	}
	return -1
}

func isKanji(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF || r == '々' || r == '〇' || r == 'ヶ' || r == 'ヵ'
}
func isKatakana(r rune) bool { return r >= 0x30A1 && r <= 0x30FC && r != '・' }
func isHiragana(r rune) bool { return r >= 0x3041 && r <= 0x3096 }

// value returns the digits of [start, end) as ASCII, kanji digits included.
func (t *folded) value(start, end int) []byte {
	var digits []byte
	for _, r := range t.r[start:end] {
		if isDigit(r) {
			digits = append(digits, byte(r))
		} else if v := kanjiDigit(r); v >= 0 {
			digits = append(digits, byte('0'+v))
		}
	}
	return digits
}
