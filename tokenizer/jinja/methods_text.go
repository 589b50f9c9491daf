package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// textMethods are the methods of str: each gets the string and its arguments, and returns a string that becomes Markup where the first
// was, or another value.
var textMethods map[string]func(s *state, t string, a *args) value

// absentMethods are those that a template may ask str for, and that are not here.
var absentMethods = map[string]bool{"encode": true, "format_map": true, "isprintable": true, "maketrans": true, "translate": true}

func init() { // the methods refer to the engine, which refers to them
	textMethods = map[string]func(s *state, t string, a *args) value{
		"upper":        plain("upper", upper),
		"lower":        plain("lower", lower),
		"casefold":     plain("casefold", casefold),
		"title":        plain("title", title),
		"capitalize":   plain("capitalize", capitalize),
		"swapcase":     plain("swapcase", swapCase),
		"isalpha":      is("isalpha", func(t string) bool { return every(t, unicode.IsLetter) }),
		"isalnum":      is("isalnum", func(t string) bool { return every(t, isLetterOrNumeric) }),
		"isascii":      is("isascii", isASCII),
		"isdecimal":    is("isdecimal", func(t string) bool { return every(t, isDecimal) }),
		"isdigit":      is("isdigit", func(t string) bool { return every(t, isDigit) }),
		"isnumeric":    is("isnumeric", func(t string) bool { return every(t, isNumeric) }),
		"isspace":      is("isspace", func(t string) bool { return every(t, isSpace) }),
		"isupper":      is("isupper", func(t string) bool { return oneCase(t, true) }),
		"islower":      is("islower", func(t string) bool { return oneCase(t, false) }),
		"istitle":      is("istitle", isTitleText),
		"isidentifier": is("isidentifier", func(t string) bool { return t != "" && identifier(t) == len(t) }),
		"strip":        strip("strip", true, true),
		"lstrip":       strip("lstrip", true, false),
		"rstrip":       strip("rstrip", false, true),
		"split":        splitMethod("split", false),
		"rsplit":       splitMethod("rsplit", true),
		"partition":    partition("partition", strings.Index),
		"rpartition":   partition("rpartition", strings.LastIndex),
		"find":         find("find", strings.Index, false),
		"rfind":        find("rfind", strings.LastIndex, false),
		"index":        find("index", strings.Index, true),
		"rindex":       find("rindex", strings.LastIndex, true),
		"startswith":   affix("startswith", strings.HasPrefix),
		"endswith":     affix("endswith", strings.HasSuffix),
		"removeprefix": removeAffix("removeprefix", strings.TrimPrefix),
		"removesuffix": removeAffix("removesuffix", strings.TrimSuffix),
		"ljust":        justify("ljust", 0, 1),
		"rjust":        justify("rjust", 1, 0),
		"center":       justify("center", 1, 1),
		"replace":      replaceMethod,
		"count":        countMethod,
		"join":         joinMethod,
		"splitlines":   splitLinesMethod,
		"zfill":        zfill,
		"expandtabs":   expandTabs,
		"format":       formatMethod,
	}
}

// textMethod is the method id of the string v.
func (s *state) textMethod(v value, id string) (value, bool) {
	m := textMethods[id]
	if m == nil {
		if absentMethods[id] {
			s.fail("the method str.%s is not supported", id)
		}
		return nil, false
	}
	t, _ := text(v)
	return &builtin{id, func(s *state, a *args) value {
		s.work(len(t))
		if _, ok := v.(markup); !ok {
			return m(s, t, a)
		}
		if id == "format" {
			s.fail("formatting what escape or safe returned is not supported")
		}
		for i := range a.pos {
			if _, ok := text(a.pos[i]); ok && (id == "replace" && i == 1 || id == "ljust" || id == "rjust" || id == "center") {
				a.pos[i] = string(s.escape(a.pos[i]))
			}
		}
		if id == "join" {
			parts := s.sequence(s.bind(id, a, 1, "*iterable")[0])
			a = &args{pos: []value{&list{s.escapeAll(parts)}}}
		}
		return marked(m(s, t, a))
	}}, true
}

// marked makes the strings of a result Markup.
func marked(v value) value {
	switch v := v.(type) {
	case string:
		return markup(v)
	case *list:
		for i := range v.items {
			v.items[i] = marked(v.items[i])
		}
	case *tuple:
		for i := range v.items {
			v.items[i] = marked(v.items[i])
		}
	}
	return v
}

func plain(id string, f func(string) string) func(s *state, t string, a *args) value {
	return func(s *state, t string, a *args) value {
		s.bind(id, a, 0)
		s.charge(4 * int64(len(t)))
		return f(t)
	}
}

func is(id string, f func(string) bool) func(s *state, t string, a *args) value {
	return func(s *state, t string, a *args) value {
		s.bind(id, a, 0)
		return f(t)
	}
}

func strip(id string, left, right bool) func(s *state, t string, a *args) value {
	return func(s *state, t string, a *args) value {
		p := s.bind(id, a, 0, "*chars")
		if p[0] == missing || p[0] == nil {
			return trim(t, nil, left, right)
		}
		chars := s.text(id, p[0])
		s.work(len(t) * (len(chars)/64 + 1))
		return trim(t, &chars, left, right)
	}
}

func splitMethod(id string, fromRight bool) func(s *state, t string, a *args) value {
	return func(s *state, t string, a *args) value {
		p := s.bind(id, a, 0, "sep", "maxsplit")
		most := s.integerOr(id, p[1], -1)
		s.charge(int64(len(t)))
		if p[0] == missing || p[0] == nil {
			return s.strings(t, splitSpace(t, most, fromRight))
		}
		by := s.text(id, p[0])
		if by == "" {
			s.fail("%s: empty separator", id)
		}
		s.items(strings.Count(t, by))
		return s.strings(t, split(t, by, most, fromRight))
	}
}

func partition(id string, find func(s, sep string) int) func(s *state, t string, a *args) value {
	return func(s *state, t string, a *args) value {
		by := s.text(id, s.bind(id, a, 1, "*sep")[0])
		if by == "" {
			s.fail("%s: empty separator", id)
		}
		s.items(3)
		switch at := find(t, by); {
		case at >= 0:
			return &tuple{items: []value{t[:at], by, t[at+len(by):]}}
		case id == "partition":
			return &tuple{items: []value{t, "", ""}}
		}
		return &tuple{items: []value{"", "", t}}
	}
}

// part is the stretch of t between two arguments that count runes, and where it begins; ok is false where they cross.
func (s *state) part(id, t string, from, to value) (part string, begin int, ok bool) {
	var parts [3]value
	for i, v := range []value{from, to} {
		if v != missing {
			parts[i] = v
		}
	}
	if parts[0] == nil && parts[1] == nil {
		return t, 0, true
	}
	n := s.runes(t)
	start, count, _ := s.bounds(parts, int64(n))
	if i, _ := integer(parts[0]); parts[0] != nil && i > int64(n) {
		return "", 0, false
	}
	begin = runeOffset(t, int(start))
	if stop, isSet := integer(parts[1]); isSet && count == 0 {
		if stop < 0 {
			stop += int64(n)
		}
		if max(stop, 0) < start {
			return "", 0, false
		}
	}
	return t[begin : begin+runeOffset(t[begin:], int(count))], begin, true
}

func find(id string, find func(s, sub string) int, must bool) func(s *state, t string, a *args) value {
	return func(s *state, t string, a *args) value {
		p := s.bind(id, a, 1, "*sub", "*start", "*end")
		sub := s.text(id, p[0])
		if part, begin, ok := s.part(id, t, p[1], p[2]); ok {
			if at := find(part, sub); at >= 0 {
				return int64(utf8.RuneCountInString(t[:begin+at]))
			}
		}
		if must {
			s.fail("%s: substring not found", id)
		}
		return int64(-1)
	}
}

func affix(id string, has func(s, affix string) bool) func(s *state, t string, a *args) value {
	return func(s *state, t string, a *args) value {
		p := s.bind(id, a, 1, "*prefix", "*start", "*end")
		part, _, ok := s.part(id, t, p[1], p[2])
		if several, isTuple := p[0].(*tuple); isTuple {
			for _, one := range several.items {
				s.step()
				if one := s.text(id, one); ok && has(part, one) {
					return true
				}
			}
			return false
		}
		one := s.text(id, p[0])
		return ok && has(part, one)
	}
}

func removeAffix(id string, remove func(s, affix string) string) func(s *state, t string, a *args) value {
	return func(s *state, t string, a *args) value {
		return remove(t, s.text(id, s.bind(id, a, 1, "*prefix")[0]))
	}
}

func justify(id string, left, right int) func(s *state, t string, a *args) value {
	return func(s *state, t string, a *args) value {
		p := s.bind(id, a, 1, "*width", "*fillchar")
		fill := s.textOr(id, p[1], " ")
		if utf8.RuneCountInString(fill) != 1 {
			s.fail("%s: the fill character must be exactly one character long", id)
		}
		return s.justify(t, s.integer(id, p[0]), fill, left, right)
	}
}

// justify pads t to a width in runes, on the left, the right or both sides.
func (s *state) justify(t string, width int64, fill string, left, right int) string {
	pad := width - int64(s.runes(t))
	if pad <= 0 {
		return t
	}
	before := pad * int64(left)
	if left+right == 2 {
		before = pad/2 + pad&width&1
	}
	s.charge(int64(len(t)))
	return s.repeatText(fill, before) + t + s.repeatText(fill, pad-before)
}

func replaceMethod(s *state, t string, a *args) value {
	p := s.bind("replace", a, 2, "*old", "*new", "count")
	return s.replace(t, s.text("replace", p[0]), s.text("replace", p[1]), s.integerOr("replace", p[2], -1))
}

func (s *state) replace(t, old, with string, most int64) string {
	s.work(len(t))
	n := int64(strings.Count(t, old))
	if most >= 0 {
		n = min(n, most)
	}
	if n == 0 {
		return t
	}
	s.charge(int64(len(t)) + s.multiply(n, int64(len(with))))
	return strings.Replace(t, old, with, int(n))
}

func countMethod(s *state, t string, a *args) value {
	p := s.bind("count", a, 1, "*sub", "*start", "*end")
	sub := s.text("count", p[0])
	part, _, ok := s.part("count", t, p[1], p[2])
	if !ok {
		return int64(0)
	}
	return int64(strings.Count(part, sub))
}

func joinMethod(s *state, t string, a *args) value {
	items := s.sequence(s.bind("join", a, 1, "*iterable")[0])
	parts := make([]string, len(items))
	for i, item := range items {
		part, ok := text(item)
		if !ok {
			s.fail("join: item %d is %s, not a string", i, typeName(item))
		}
		parts[i] = part
	}
	return s.joined(parts, t)
}

func (s *state) joined(parts []string, by string) string {
	size := s.multiply(int64(len(by)), int64(len(parts)))
	for _, part := range parts {
		size += int64(len(part))
	}
	s.charge(size)
	return strings.Join(parts, by)
}

func splitLinesMethod(s *state, t string, a *args) value {
	p := s.bind("splitlines", a, 0, "keepends")
	return s.strings(t, splitLines(t, s.truthOr(p[0], false)))
}

func zfill(s *state, t string, a *args) value {
	width := s.integer("zfill", s.bind("zfill", a, 1, "*width")[0])
	sign := ""
	if strings.HasPrefix(t, "+") || strings.HasPrefix(t, "-") {
		sign, t = t[:1], t[1:]
		width--
	}
	return sign + s.justify(t, width, "0", 1, 0)
}

func expandTabs(s *state, t string, a *args) value {
	size := s.integerOr("expandtabs", s.bind("expandtabs", a, 0, "tabsize")[0], 8)
	var b strings.Builder
	column := int64(0)
	for _, r := range t {
		switch {
		case r == '\t':
			if size > 0 {
				n := size - column%size
				b.WriteString(s.repeatText(" ", n))
				column += n
			}
			continue
		case r == '\n' || r == '\r':
			column = -1
		}
		s.charge(1)
		b.WriteRune(r)
		column++
	}
	return b.String()
}

func casefold(t string) string { return fold.String(t) }
