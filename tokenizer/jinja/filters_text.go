package jinja

import (
	"html"
	"regexp"
	"strings"
	"unicode/utf8"
)

// soft is jinja2's soft_str: Markup stays Markup.
func (s *state) soft(v value) value {
	if _, ok := v.(markup); ok {
		return v
	}
	return s.str(v)
}

func textFilter(id string, f func(string) string) filter {
	return func(s *state, v value, a *args) value {
		s.bind(id, a, 0)
		v = s.soft(v)
		t, _ := text(v)
		s.charge(4 * int64(len(t)))
		s.work(len(t))
		return same(v, f(t))
	}
}

var wordBeginning = regexp.MustCompile(`[-({\[<\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+`)

// titleFilter differs from str.title: a word begins behind white space, a hyphen or an opening bracket.
func titleFilter(t string) string {
	var b strings.Builder
	word := func(w string) {
		_, n := utf8.DecodeRuneInString(w)
		b.WriteString(upper(w[:n]) + lower(w[n:]))
	}
	at := 0
	for _, m := range wordBeginning.FindAllStringIndex(t, -1) {
		word(t[at:m[0]])
		word(t[m[0]:m[1]])
		at = m[1]
	}
	word(t[at:])
	return b.String()
}

func stringFilter(s *state, v value, a *args) value {
	s.bind("string", a, 0)
	return s.soft(v)
}

func safe(s *state, v value, a *args) value {
	s.bind("safe", a, 0)
	return markup(s.str(v))
}

var escaper = strings.NewReplacer("&", "&amp;", ">", "&gt;", "<", "&lt;", "'", "&#39;", `"`, "&#34;")

// escape is markupsafe.escape.
func (s *state) escape(v value) markup {
	if m, ok := v.(markup); ok {
		return m
	}
	t := s.str(v)
	s.work(len(t))
	s.charge(6 * int64(len(t)))
	return markup(escaper.Replace(t))
}

func (s *state) escapeAll(items []value) []value {
	s.items(len(items))
	out := make([]value, len(items))
	for i, item := range items {
		out[i] = s.escape(item)
	}
	return out
}

func escapeFilter(s *state, v value, a *args) value {
	s.bind("escape", a, 0)
	return s.escape(v)
}

func forceEscape(s *state, v value, a *args) value {
	s.bind("forceescape", a, 0)
	return s.escape(s.str(v))
}

func trimFilter(s *state, v value, a *args) value {
	p := s.bind("trim", a, 0, "chars")
	v = s.soft(v)
	t, _ := text(v)
	s.work(len(t))
	if p[0] == missing || p[0] == nil {
		return same(v, trim(t, nil, true, true))
	}
	chars := s.text("trim", p[0])
	s.work(len(t) * (len(chars)/64 + 1))
	return same(v, trim(t, &chars, true, true))
}

func replaceFilter(s *state, v value, a *args) value {
	p := s.bind("replace", a, 2, "old", "new", "count")
	most := int64(-1)
	if p[2] != missing && p[2] != nil {
		most = s.integer("replace", p[2])
	}
	return s.replace(s.str(v), s.str(p[0]), s.str(p[1]), most)
}

func center(s *state, v value, a *args) value {
	width := s.integerOr("center", s.bind("center", a, 0, "width")[0], 80)
	v = s.soft(v)
	t, _ := text(v)
	return same(v, s.justify(t, width, " ", 1, 1))
}

func indent(s *state, v value, a *args) value {
	p := s.bind("indent", a, 0, "width", "first", "blank")
	by := "    "
	if t, ok := text(p[0]); ok {
		by = t
	} else if p[0] != missing {
		by = s.repeatText(" ", s.integer("indent", p[0]))
	}
	lines := splitLines(s.text("indent", v)+"\n", false)
	s.items(2 * len(lines))
	blank := s.truthOr(p[2], false)
	for i := range lines {
		if i > 0 && (blank || lines[i] != "") {
			s.charge(int64(len(by) + len(lines[i])))
			lines[i] = by + lines[i]
		}
	}
	out := s.joined(lines, "\n")
	if s.truthOr(p[1], false) {
		s.charge(int64(len(out) + len(by)))
		out = by + out
	}
	return same(v, out)
}

func truncate(s *state, v value, a *args) value {
	p := s.bind("truncate", a, 0, "length", "killwords", "end", "leeway")
	length := s.integerOr("truncate", p[0], 255)
	end := s.textOr("truncate", p[2], "...")
	leeway := int64(5)
	if p[3] != missing && p[3] != nil {
		leeway = s.integer("truncate", p[3])
	}
	size := int64(utf8.RuneCountInString(end))
	if length < size || leeway < 0 {
		s.fail("truncate: expected length >= %d and leeway >= 0, got %d and %d", size, length, leeway)
	}
	t, ok := text(v)
	if !ok {
		if n, hasLength := s.length(v); hasLength && int64(n) <= length+leeway {
			return v
		}
		t = s.text("truncate", v)
	}
	if int64(s.runes(t)) <= length+leeway {
		return v
	}
	cut := t[:runeOffset(t, int(length-size))]
	if !s.truthOr(p[1], false) {
		if at := strings.LastIndexByte(cut, ' '); at >= 0 {
			cut = cut[:at]
		}
	}
	s.charge(int64(len(cut) + len(end)))
	return same(v, cut+end)
}

func formatFilter(s *state, v value, a *args) value {
	if len(a.pos) > 0 && len(a.names) > 0 {
		s.fail("format: can't handle positional and keyword arguments at the same time")
	}
	if _, ok := v.(markup); ok {
		s.fail("formatting what escape or safe returned is not supported")
	}
	if len(a.names) == 0 {
		return s.percent(s.str(v), &tuple{items: a.pos})
	}
	d := newDict(0)
	for i, id := range a.names {
		d.set(s, id, a.named[i])
	}
	return s.percent(s.str(v), d)
}

var (
	htmlComment = regexp.MustCompile(`(?s)<!--.*?-->`)
	htmlTag     = regexp.MustCompile(`(?s)<.*?>`)
)

func stripTags(s *state, v value, a *args) value {
	s.bind("striptags", a, 0)
	t := s.str(v)
	s.work(8 * len(t))
	s.charge(4 * int64(len(t)))
	t = htmlTag.ReplaceAllString(htmlComment.ReplaceAllString(t, ""), "")
	return html.UnescapeString(strings.Join(splitSpace(t, -1, false), " "))
}

func wordCount(s *state, v value, a *args) value {
	s.bind("wordcount", a, 0)
	n, inside := int64(0), false
	t := s.str(v)
	s.work(len(t))
	for _, r := range t {
		is := isWord(r)
		if is && !inside {
			n++
		}
		inside = is
	}
	return n
}

// isWord is \w of Python's regular expressions.
func isWord(r rune) bool { return r == '_' || every(string(r), isLetterOrNumeric) }

func urlEncode(s *state, v value, a *args) value {
	s.bind("urlencode", a, 0)
	if t, ok := text(v); ok {
		return s.quoteURL(t, "/")
	}
	if !isIterable(s, v) {
		return s.quoteURL(s.str(v), "/")
	}
	if d, ok := v.(*dict); ok {
		v = &dictView{d, "items"}
	}
	var parts []string
	for _, entry := range s.sequence(v) {
		pair := s.sequence(entry)
		if len(pair) != 2 {
			s.fail("urlencode: a pair has %d items", len(pair))
		}
		key, val := s.quoteURL(s.str(pair[0]), ""), s.quoteURL(s.str(pair[1]), "")
		parts = append(parts, strings.ReplaceAll(key, "%20", "+")+"="+strings.ReplaceAll(val, "%20", "+"))
	}
	return s.joined(parts, "&")
}

// quoteURL is urllib.parse.quote.
func (s *state) quoteURL(t, keep string) string {
	s.charge(3 * int64(len(t)))
	var b strings.Builder
	for i := range len(t) {
		c := t[i]
		if isAlphanumeric(c) || strings.IndexByte("_.-~"+keep, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		const digits = "0123456789ABCDEF"
		b.WriteString(string([]byte{'%', digits[c>>4], digits[c&15]}))
	}
	return b.String()
}
