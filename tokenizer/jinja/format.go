package jinja

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// fieldSpec is how one value is written, by % or by str.format.
type fieldSpec struct {
	fill, sign      string
	align           byte // < > ^ =, or 0
	alternate, zero bool
	width           int64
	precision       int64 // -1: none
	group           string
	verb            byte
}

// percent is Python's format % values.
func (s *state) percent(format string, v value) string {
	var b strings.Builder
	t, isTuple := v.(*tuple)
	used := 0
	take := func() value {
		if !isTuple {
			if used++; used > 1 {
				s.fail("not enough arguments for format string")
			}
			return v
		}
		if used >= len(t.items) {
			s.fail("not enough arguments for format string")
		}
		used++
		return t.items[used-1]
	}
	mapped := false
	for i := 0; i < len(format); {
		at := strings.IndexByte(format[i:], '%')
		if at < 0 {
			at = len(format) - i
		}
		s.charge(int64(at) + 16)
		b.WriteString(format[i : i+at])
		if i += at + 1; i > len(format) {
			break
		}
		from := take
		if i < len(format) && format[i] == '(' {
			d, ok := v.(*dict)
			end := strings.IndexByte(format[i:], ')')
			if !ok || end < 0 {
				s.fail("a format with (names) requires a mapping")
			}
			item, ok := d.get(s, format[i+1:i+end])
			if !ok {
				s.fail("the format's key %q is not in the mapping", format[i+1:i+end])
			}
			mapped = true
			from = func() value { return item }
			i += end + 1
		}
		spec, n := s.percentSpec(format[i:], take)
		if i += n; spec.verb == '%' {
			b.WriteByte('%')
			continue
		}
		b.WriteString(s.percentValue(spec, from()))
	}
	_, isDict := v.(*dict)
	if isTuple && used < len(t.items) || !isTuple && !isDict && !isListLike(v) && used == 0 && !mapped {
		s.fail("not all arguments converted during string formatting")
	}
	return b.String()
}

// isListLike values count as mappings for %, because they have items.
func isListLike(v value) bool {
	_, ok := v.(*list)
	return ok
}

// percentSpec reads flags, width, precision and the letter.
func (s *state) percentSpec(f string, take func() value) (p fieldSpec, n int) {
	p = fieldSpec{fill: " ", align: '>', precision: -1}
	for ; n < len(f) && strings.IndexByte("-+ #0", f[n]) >= 0; n++ {
		switch f[n] {
		case '-':
			p.align = '<'
		case '+':
			p.sign = "+"
		case ' ':
			if p.sign == "" {
				p.sign = " "
			}
		case '#':
			p.alternate = true
		case '0':
			p.zero = true
		}
	}
	count := func() int64 {
		if n < len(f) && f[n] == '*' {
			n++
			return s.integer("%", take())
		}
		begin := n
		for n < len(f) && f[n] >= '0' && f[n] <= '9' {
			n++
		}
		if n == begin {
			return 0
		}
		i, err := strconv.ParseInt(f[begin:n], 10, 32)
		if err != nil {
			s.fail("width or precision too big")
		}
		return i
	}
	if p.width = count(); p.width < 0 {
		p.width, p.align = -p.width, '<'
	}
	if n < len(f) && f[n] == '.' {
		n++
		p.precision = max(count(), 0)
	}
	for n < len(f) && strings.IndexByte("hlL", f[n]) >= 0 {
		n++
	}
	if n == len(f) {
		s.fail("incomplete format")
	}
	p.verb = f[n]
	return p, n + 1
}

func (s *state) percentValue(p fieldSpec, v value) string {
	switch p.verb {
	case 's', 'r', 'a':
		if p.verb == 'a' {
			s.fail("%%a in a format is not supported")
		}
		text := s.str(v)
		if p.verb == 'r' {
			text = s.repr(v)
		}
		if p.precision >= 0 {
			text = text[:runeOffset(text, int(p.precision))]
		}
		p.zero = false
		return s.pad(p, "", text)
	case 'c':
		text, ok := text(v)
		if i, isInt := integer(v); isInt && i >= 0 && i <= utf8.MaxRune {
			text, ok = string(rune(i)), true
		}
		if !ok || utf8.RuneCountInString(text) != 1 {
			s.fail("%%c requires an integer or a character")
		}
		p.zero = false
		return s.pad(p, "", text)
	case 'd', 'i', 'u', 'x', 'X', 'o':
		if f, ok := v.(float64); ok && strings.IndexByte("diu", p.verb) >= 0 {
			v = s.truncated(f)
		}
		i, ok := integer(v)
		if !ok {
			s.defined(v)
			s.fail("%%%c format: a number is required, not %s", p.verb, typeName(v))
		}
		if p.verb == 'i' || p.verb == 'u' {
			p.verb = 'd'
		}
		return s.writeInteger(p, i)
	case 'e', 'E', 'f', 'F', 'g', 'G':
		f, ok := number(v)
		if !ok {
			s.defined(v)
			s.fail("%%%c format: a number is required, not %s", p.verb, typeName(v))
		}
		return s.writeFloat(p, f)
	}
	s.fail("unsupported format character %q", p.verb)
	return ""
}

// truncated is Python's int(f).
func (s *state) truncated(f float64) int64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		s.fail("cannot convert %s to an integer", formatFloat(f))
	}
	if math.Abs(f) >= 1<<63 {
		s.overflow()
	}
	return int64(f)
}

func (s *state) writeInteger(p fieldSpec, i int64) string {
	base, prefix := 10, ""
	switch p.verb {
	case 'x', 'X':
		base, prefix = 16, "0x"
	case 'o':
		base, prefix = 8, "0o"
	case 'b':
		base, prefix = 2, "0b"
	}
	sign := p.sign
	digits := strconv.FormatInt(i, base)
	if i < 0 {
		sign, digits = "-", digits[1:]
	}
	if !p.alternate {
		prefix = ""
	}
	if p.verb == 'X' {
		digits, prefix = strings.ToUpper(digits), strings.ToUpper(prefix)
	}
	if n := p.precision - int64(len(digits)); n > 0 {
		digits = s.repeatText("0", n) + digits
	}
	return s.pad(p, sign+prefix, grouped(digits, p.group))
}

// grouped separates thousands.
func grouped(digits, by string) string {
	if by == "" {
		return digits
	}
	whole, rest := digits, ""
	if at := strings.IndexAny(digits, ".e"); at >= 0 {
		whole, rest = digits[:at], digits[at:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + by + whole[i:]
	}
	return whole + rest
}

func (s *state) writeFloat(p fieldSpec, f float64) string {
	sign := p.sign
	if math.Signbit(f) && !math.IsNaN(f) {
		sign, f = "-", -f
	}
	digits := ""
	precision := int(p.precision)
	if precision < 0 {
		precision = 6
	}
	if precision > 1000 {
		s.fail("a precision of %d is not supported", precision)
	}
	switch {
	case math.IsInf(f, 0) || math.IsNaN(f):
		digits = formatFloat(f)
		p.zero = false
	case p.verb == 'g' || p.verb == 'G':
		digits = general(f, max(precision, 1))
	case p.verb == 'e' || p.verb == 'E':
		digits = strconv.FormatFloat(f, 'e', precision, 64)
	default:
		digits = strconv.FormatFloat(f, 'f', precision, 64)
	}
	if p.alternate {
		s.fail("# with a float in a format is not supported")
	}
	if p.verb >= 'A' && p.verb <= 'Z' {
		digits = strings.ToUpper(digits)
	}
	return s.pad(p, sign, grouped(digits, p.group))
}

// general is C's %g.
func general(f float64, precision int) string {
	e := strconv.FormatFloat(f, 'e', precision-1, 64)
	at := strings.IndexByte(e, 'e')
	exponent, _ := strconv.Atoi(e[at+1:])
	trimZeros := func(t string) string {
		if strings.Contains(t, ".") {
			return strings.TrimRight(strings.TrimRight(t, "0"), ".")
		}
		return t
	}
	if exponent < -4 || exponent >= precision {
		return trimZeros(e[:at]) + e[at:]
	}
	return trimZeros(strconv.FormatFloat(f, 'f', precision-1-exponent, 64))
}

// pad brings sign and text to the width.
func (s *state) pad(p fieldSpec, sign, text string) string {
	if p.zero && (p.align == '>' || p.align == '=') {
		p.align, p.fill = '=', "0"
	}
	if p.align == '=' {
		return sign + s.justify(text, p.width-int64(len(sign)), p.fill, 1, 0)
	}
	text = sign + text
	switch p.align {
	case '<':
		return s.justify(text, p.width, p.fill, 0, 1)
	case '^':
		n := p.width - int64(s.runes(text))
		if n <= 0 {
			return text
		}
		s.charge(int64(len(text)))
		return s.repeatText(p.fill, n/2) + text + s.repeatText(p.fill, n-n/2)
	}
	return s.justify(text, p.width, p.fill, 1, 0)
}
