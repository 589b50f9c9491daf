package jinja

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// str is Python's str(v).
func (s *state) str(v value) string {
	switch v := v.(type) {
	case string:
		return v
	case markup:
		return string(v)
	case *undefined:
		return ""
	}
	return s.repr(v)
}

// repr is Python's repr(v).
func (s *state) repr(v value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return formatFloat(v)
	}
	var b strings.Builder
	s.writeRepr(&b, v)
	return b.String()
}

func (s *state) writeRepr(b *strings.Builder, v value) {
	s.descend()
	defer s.ascend()
	s.step()
	before := b.Len()
	defer func() { s.charge(int64(b.Len() - before)) }()
	switch v := v.(type) {
	case string:
		s.charge(int64(len(v)))
		writeQuoted(b, v)
	case markup:
		b.WriteString("Markup(")
		writeQuoted(b, string(v))
		b.WriteByte(')')
	case *list:
		s.writeItems(b, "[", v.items, "]")
	case *tuple:
		end := ")"
		if len(v.items) == 1 {
			end = ",)"
		}
		s.writeItems(b, "(", v.items, end)
	case *dict:
		s.writeDict(b, v)
	case *dictView:
		b.WriteString("dict_" + v.kind + "(")
		s.writeItems(b, "[", s.sequence(v), "]")
		b.WriteByte(')')
	case *span:
		b.WriteString("range(" + strconv.FormatInt(v.start, 10) + ", " + strconv.FormatInt(v.stop, 10))
		if v.step != 1 {
			b.WriteString(", " + strconv.FormatInt(v.step, 10))
		}
		b.WriteByte(')')
	case *namespace:
		b.WriteString("<Namespace ")
		s.writeDict(b, v.attrs)
		b.WriteByte('>')
	case *undefined:
		b.WriteString("Undefined")
	case *macro:
		if v.name == "" {
			b.WriteString("<Macro anonymous>")
			return
		}
		b.WriteString("<Macro ")
		writeQuoted(b, v.name)
		b.WriteByte('>')
	case *loop:
		b.WriteString("<LoopContext " + strconv.Itoa(v.index0+1) + "/" + strconv.Itoa(v.length(s)) + ">")
	case *iterator, *builtin, *cycler:
		s.fail("printing a %s is not supported: Python writes an address", typeName(v))
	default:
		b.WriteString(s.repr(v))
	}
}

func (s *state) writeItems(b *strings.Builder, begin string, items []value, end string) {
	b.WriteString(begin)
	for i, item := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		s.writeRepr(b, item)
	}
	b.WriteString(end)
}

func (s *state) writeDict(b *strings.Builder, d *dict) {
	b.WriteByte('{')
	for i, key := range d.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		s.writeRepr(b, key)
		b.WriteString(": ")
		s.writeRepr(b, d.values[i])
	}
	b.WriteByte('}')
}

// writeQuoted is repr of a str: in single quotes, unless only those stand inside.
func writeQuoted(b *strings.Builder, text string) {
	quote := byte('\'')
	if strings.Contains(text, "'") && !strings.Contains(text, `"`) {
		quote = '"'
	}
	b.WriteByte(quote)
	for _, r := range text {
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case isPrintable(r):
			b.WriteRune(r)
		case r < 0x100:
			b.WriteString(`\x` + hex(r, 2))
		case r < 0x10000:
			b.WriteString(`\u` + hex(r, 4))
		default:
			b.WriteString(`\U` + hex(r, 8))
		}
	}
	b.WriteByte(quote)
}

func hex(r rune, digits int) string {
	h := strconv.FormatInt(int64(r), 16)
	return strings.Repeat("0", digits-len(h)) + h
}

// isPrintable is Python's: no Other and no Separator but the space.
func isPrintable(r rune) bool { return r == ' ' || unicode.IsPrint(r) }

// formatFloat is Python's repr of a float: the shortest that reads back, with an exponent from 1e16 and below 1e-4.
func formatFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	e := strconv.FormatFloat(f, 'e', -1, 64)
	exponent, _ := strconv.Atoi(e[strings.IndexByte(e, 'e')+1:])
	if exponent < -4 || exponent >= 16 {
		return e
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
