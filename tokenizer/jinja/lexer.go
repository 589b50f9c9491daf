package jinja

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	eofToken tokenKind = iota
	dataToken
	variableBegin
	variableEnd
	blockBegin
	blockEnd
	nameToken
	stringToken
	integerToken
	floatToken
	operatorToken
)

// token is a piece of the template. Text is the name, the operator, the unescaped string or the data.
type token struct {
	kind    tokenKind
	line    int
	text    string
	integer int64
	float   float64
}

func (t token) String() string {
	switch t.kind {
	case eofToken:
		return "end of template"
	case dataToken:
		return "template data"
	case variableBegin:
		return "{{"
	case variableEnd:
		return "}}"
	case blockBegin:
		return "{%"
	case blockEnd:
		return "%}"
	case stringToken:
		return "string"
	case integerToken:
		return "integer"
	case floatToken:
		return "float"
	}
	return t.text
}

// lexer cuts a template as jinja2/lexer.py does with trim_blocks and lstrip_blocks on and keep_trailing_newline off.
type lexer struct {
	source       string
	at           int
	line         int
	lineStarting bool // the last match ended in a line feed, or nothing was matched yet
	open         []byte
	tokens       []token
}

var (
	rawBegin = regexp.MustCompile(`^\{%[-+]?` + space + `*raw` + space + `*(?:-%\}` + space + `*|%\})`)
	rawEnd   = regexp.MustCompile(`\{%[-+]?` + space + `*endraw` + space + `*(?:\+%\}|-%\}` + space + `*|%\}\n?)`)
)

// space is \s of Python's regular expressions for str.
const space = `[\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]`

// tokenize cuts the whole template.
func tokenize(source string) []token {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	l := &lexer{source: strings.TrimSuffix(source, "\n"), line: 1, lineStarting: true}
	for l.at < len(l.source) {
		l.root()
	}
	l.add(token{kind: eofToken})
	return l.tokens
}

func (l *lexer) add(t token) {
	t.line = l.line
	l.tokens = append(l.tokens, t)
}

// advance passes n bytes and counts their lines.
func (l *lexer) advance(n int) {
	l.line += strings.Count(l.source[l.at:l.at+n], "\n")
	l.lineStarting = n > 0 && l.source[l.at+n-1] == '\n'
	l.at += n
}

// root reads template data up to a tag, and the tag.
func (l *lexer) root() {
	rest := l.source[l.at:]
	start := -1
	for i := 0; i+1 < len(rest); i++ {
		if rest[i] == '{' && (rest[i+1] == '{' || rest[i+1] == '%' || rest[i+1] == '#') {
			start = i
			break
		}
	}
	if start < 0 {
		l.add(token{kind: dataToken, text: rest})
		l.advance(len(rest))
		return
	}
	text, tag := rest[:start], rest[start:]
	sign := byte(0)
	if len(tag) > 2 && (tag[2] == '-' || tag[2] == '+') {
		sign = tag[2]
	}
	data := l.strip(text, sign, tag[1] == '{')
	if data != "" {
		l.add(token{kind: dataToken, text: data})
	}
	l.advance(len(text))
	if raw := rawBegin.FindString(tag); raw != "" {
		l.advance(len(raw))
		l.raw()
		return
	}
	length := 2
	if sign != 0 {
		length = 3
	}
	switch tag[1] {
	case '#':
		l.advance(length)
		l.comment()
	case '%':
		l.add(token{kind: blockBegin})
		l.advance(length)
		l.tag(blockEnd)
	case '{':
		l.add(token{kind: variableBegin})
		l.advance(length)
		l.tag(variableEnd)
	}
}

// strip removes white space before a tag: all of it before a minus; with lstrip_blocks that of the tag's own line.
func (l *lexer) strip(text string, sign byte, variable bool) string {
	if sign == '-' {
		return strings.TrimRightFunc(text, isSpace)
	}
	if sign == '+' || variable {
		return text
	}
	begin := strings.LastIndexByte(text, '\n') + 1
	if (begin > 0 || l.lineStarting) && strings.TrimFunc(text[begin:], isSpace) == "" {
		return text[:begin]
	}
	return text
}

// comment passes a comment and what its end strips.
func (l *lexer) comment() {
	rest := l.source[l.at:]
	end := strings.Index(rest, "#}")
	if end < 0 {
		failAt(l.line, "missing end of comment tag")
	}
	stop := end + 2
	switch {
	case end > 0 && rest[end-1] == '-':
		stop += spaces(rest[stop:])
	case end > 0 && rest[end-1] == '+':
	case strings.HasPrefix(rest[stop:], "\n"):
		stop++
	}
	l.advance(stop)
}

func (l *lexer) raw() {
	rest := l.source[l.at:]
	found := rawEnd.FindStringIndex(rest)
	if found == nil {
		failAt(l.line, "missing end of raw directive")
	}
	text, tag := rest[:found[0]], rest[found[0]:found[1]]
	sign := byte(0)
	if tag[2] == '-' || tag[2] == '+' {
		sign = tag[2]
	}
	if data := l.strip(text, sign, false); data != "" {
		l.add(token{kind: dataToken, text: data})
	}
	l.advance(found[1])
}

func spaces(s string) int { return len(s) - len(strings.TrimLeftFunc(s, isSpace)) }

// tag reads the tokens of an expression or a statement and its end.
func (l *lexer) tag(end tokenKind) {
	l.open = l.open[:0]
	for {
		if l.at >= len(l.source) {
			return // the parser misses the end
		}
		if len(l.open) == 0 && l.end(end) {
			return
		}
		l.one()
	}
}

func (l *lexer) end(end tokenKind) bool {
	rest := l.source[l.at:]
	mark := "%}"
	if end == variableEnd {
		mark = "}}"
	}
	length := 0
	switch {
	case strings.HasPrefix(rest, "-"+mark):
		length = 3 + spaces(rest[3:])
	case end == blockEnd && strings.HasPrefix(rest, "+"+mark):
		length = 3
	case strings.HasPrefix(rest, mark):
		length = 2
		if end == blockEnd && strings.HasPrefix(rest[2:], "\n") {
			length = 3
		}
	default:
		return false
	}
	l.add(token{kind: end})
	l.advance(length)
	return true
}

// number takes the float or integer at the start of s. A digit behind a dot is an index: a.0.1.
var (
	floatPattern   = regexp.MustCompile(`^(?i:(?:[0-9]+_)*[0-9]+(?:(?:\.(?:[0-9]+_)*[0-9]+)?e[+\-]?(?:[0-9]+_)*[0-9]+|\.(?:[0-9]+_)*[0-9]+))`)
	integerPattern = regexp.MustCompile(`^(?i:0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[0-9a-f])+|[1-9](?:_?[0-9])*|0(?:_?0)*)`)
)

// one reads one token.
func (l *lexer) one() {
	rest := l.source[l.at:]
	c := rest[0]
	switch {
	case spaces(rest) > 0:
		l.advance(spaces(rest))
	case c >= '0' && c <= '9':
		l.number(rest)
	case c == '\'' || c == '"':
		end := closing(rest, c)
		if end < 0 {
			failAt(l.line, "a string does not end")
		}
		l.add(token{kind: stringToken, text: l.unescape(rest[1:end])})
		l.advance(end + 1)
	default:
		if n := identifier(rest); n > 0 {
			l.add(token{kind: nameToken, text: rest[:n]})
			l.advance(n)
			return
		}
		l.operator(rest)
	}
}

func (l *lexer) number(rest string) {
	if text := floatPattern.FindString(rest); text != "" && l.source[l.at-1] != '.' {
		f, _ := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64) // too large is infinite, as in Python
		l.add(token{kind: floatToken, float: f})
		l.advance(len(text))
		return
	}
	text := integerPattern.FindString(rest)
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 0, 64)
	if strings.Trim(text, "0_") == "" {
		n, err = 0, nil
	}
	if err != nil {
		failAt(l.line, "the integer %s is beyond 64 bits", text)
	}
	l.add(token{kind: integerToken, integer: n})
	l.advance(len(text))
}

func closing(s string, quote byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i
		}
	}
	return -1
}

func identifier(s string) int {
	n := 0
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.In(r, unicode.Nd, unicode.Mn, unicode.Mc, unicode.Nl, unicode.Pc)) {
			break
		}
		n = i + utf8.RuneLen(r)
	}
	return n
}

const closers = ")]}"

func (l *lexer) operator(rest string) {
	op := ""
	if len(rest) > 1 {
		switch rest[:2] {
		case "//", "**", "==", "!=", ">=", "<=":
			op = rest[:2]
		}
	}
	if op == "" {
		if !strings.Contains("+-/*%~[](){}><=.:|,;", rest[:1]) {
			r, _ := utf8.DecodeRuneInString(rest)
			failAt(l.line, "unexpected char %q", r)
		}
		op = rest[:1]
	}
	switch i := strings.Index("([{", op); {
	case i >= 0:
		l.open = append(l.open, closers[i])
		if len(l.open) > maxNesting {
			failAt(l.line, "brackets nested more than %d deep", maxNesting)
		}
	case strings.Contains(closers, op):
		if len(l.open) == 0 {
			failAt(l.line, "unexpected %q", op)
		}
		if want := l.open[len(l.open)-1]; want != op[0] {
			failAt(l.line, "unexpected %q, expected %q", op, want)
		}
		l.open = l.open[:len(l.open)-1]
	}
	l.add(token{kind: operatorToken, text: op})
	l.advance(len(op))
}

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
