package jinja

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// unescape is Python's str.encode("ascii", "backslashreplace").decode("unicode-escape").
func (l *lexer) unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 >= len(s) {
			b.WriteByte(s[i])
			i++
			continue
		}
		i += 1 + l.escape(&b, s[i+1:])
	}
	return b.String()
}

const simpleEscapes = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v"

// escape writes what stands behind a backslash and returns its length.
func (l *lexer) escape(b *strings.Builder, s string) int {
	c := s[0]
	if c == '\n' {
		return 1
	}
	for i := 0; i < len(simpleEscapes); i += 2 {
		if simpleEscapes[i] == c {
			b.WriteByte(simpleEscapes[i+1])
			return 1
		}
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	switch {
	case c >= '0' && c <= '7':
		n, i := rune(0), 0
		for ; i < 3 && i < len(s) && s[i] >= '0' && s[i] <= '7'; i++ {
			n = n*8 + rune(s[i]-'0')
		}
		b.WriteRune(n)
		return i
	case digits > 0:
		if len(s) < 1+digits {
			failAt(l.line, "a truncated \\%c escape", c)
		}
		n, err := strconv.ParseUint(s[1:1+digits], 16, 32)
		if err != nil || n > unicode.MaxRune {
			failAt(l.line, "the escape \\%s is malformed", s[:1+digits])
		}
		if n >= 0xd800 && n < 0xe000 {
			failAt(l.line, "the escape \\%s is a surrogate, which is not supported", s[:1+digits])
		}
		b.WriteRune(rune(n))
		return 1 + digits
	case c == 'N':
		failAt(l.line, `\N{…} in a string is not supported`)
	case c >= utf8.RuneSelf: // Python has written the rune as an escape of its own by then, and so doubles the backslash
		r, n := utf8.DecodeRuneInString(s)
		quoted := strconv.QuoteRuneToASCII(r)
		if r < 0x100 {
			quoted = `'\x` + strconv.FormatInt(int64(r), 16) + `'`
		}
		b.WriteString(quoted[1 : len(quoted)-1])
		return n
	}
	b.WriteByte('\\')
	b.WriteByte(c)
	return 1
}
