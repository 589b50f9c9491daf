package jinja

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// formatMethod is str.format as the sandbox runs it.
func formatMethod(s *state, t string, a *args) value {
	f := &formatter{state: s, args: a}
	return f.format(t, 2)
}

type formatter struct {
	*state
	args   *args
	next   int
	manual bool
}

func (f *formatter) format(t string, depth int) string {
	if depth < 0 {
		f.fail("format: fields nested too deep")
	}
	var b strings.Builder
	for i := 0; i < len(t); {
		f.charge(8)
		switch c := t[i]; {
		case (c == '{' || c == '}') && i+1 < len(t) && t[i+1] == c:
			b.WriteByte(c)
			i += 2
		case c == '}':
			f.fail("format: single '}' encountered in format string")
		case c == '{':
			n := fieldEnd(t[i+1:])
			if n < 0 {
				f.fail("format: expected '}' before end of string")
			}
			text := f.field(t[i+1:i+1+n], depth)
			f.charge(int64(len(text)))
			b.WriteString(text)
			i += n + 2
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

func fieldEnd(t string) int {
	depth := 0
	for i := range len(t) {
		switch t[i] {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

// field is name!conversion:spec.
func (f *formatter) field(t string, depth int) string {
	name, spec := t, ""
	conversion := ""
	bracket := false
	for i := range len(t) {
		if t[i] == '[' || t[i] == ']' {
			bracket = t[i] == '['
		}
		if !bracket && (t[i] == ':' || t[i] == '!') {
			name = t[:i]
			rest := t[i:]
			if rest[0] == '!' {
				if len(rest) < 2 || len(rest) > 2 && rest[2] != ':' {
					f.fail("format: a malformed conversion")
				}
				conversion, rest = rest[1:2], rest[2:]
			}
			if rest != "" {
				spec = f.format(rest[1:], depth-1)
			}
			break
		}
	}
	v := f.get(name)
	switch conversion {
	case "r":
		v = f.repr(v)
	case "s":
		v = f.str(v)
	case "":
	default:
		f.fail("format: the conversion !%s is not supported", conversion)
	}
	return f.write1(v, spec)
}

// get is a name or number, then .attribute or [item].
func (f *formatter) get(name string) value {
	first := name
	if i := strings.IndexAny(name, ".["); i >= 0 {
		first = name[:i]
	}
	rest := name[len(first):]
	var v value = missing
	if first == "" {
		first = strconv.Itoa(f.next)
		f.next++
		if f.manual {
			f.fail("format: cannot switch from manual field specification to automatic field numbering")
		}
	} else if _, err := strconv.Atoi(first); err == nil {
		if f.manual = true; f.next > 0 {
			f.fail("format: cannot switch from automatic field numbering to manual field specification")
		}
	}
	if i, err := strconv.Atoi(first); err == nil {
		if i < 0 || i >= len(f.args.pos) {
			f.fail("format: replacement index %d out of range", i)
		}
		v = f.args.pos[i]
	}
	for i, id := range f.args.names {
		if id == first {
			v = f.args.named[i]
		}
	}
	if v == missing {
		f.fail("format: no argument %q", first)
	}
	for rest != "" {
		if rest[0] == '.' {
			end := strings.IndexAny(rest[1:], ".[") + 1
			if end == 0 {
				end = len(rest)
			}
			v, rest = f.getattr(v, rest[1:end]), rest[end:]
			continue
		}
		end := strings.IndexByte(rest, ']')
		if end < 0 || rest[0] != '[' {
			f.fail("format: missing ']' in format string")
		}
		if i, err := strconv.ParseInt(rest[1:end], 10, 64); err == nil {
			v = f.getitem(v, i)
		} else {
			v = f.getitem(v, rest[1:end])
		}
		rest = rest[end+1:]
	}
	return v
}

// write1 is Python's format(v, spec).
func (f *formatter) write1(v value, spec string) string {
	if spec == "" {
		return f.str(v)
	}
	p := f.spec(spec)
	switch v := v.(type) {
	case string:
		if p.verb != 0 && p.verb != 's' || p.sign != "" || p.alternate || p.align == '=' || p.group != "" {
			f.fail("format: the specification %q does not fit a string", spec)
		}
		if p.precision >= 0 {
			v = v[:runeOffset(v, int(p.precision))]
		}
		if p.align == 0 {
			p.align = '<'
		}
		if p.zero && p.fill == " " {
			p.fill = "0"
		}
		p.zero = false
		return f.pad(p, "", v)
	case bool, int64:
		i, _ := integer(v)
		if b, isBool := v.(bool); isBool && p.verb == 0 && p.align == 0 {
			f.fail("format: %v with the specification %q is not supported", b, spec)
		}
		f.numeric(&p)
		switch p.verb {
		case 0, 'd', 'x', 'X', 'o', 'b':
			if p.precision >= 0 {
				f.fail("format: precision not allowed in integer format specifier")
			}
			return f.writeInteger(p, i)
		}
		return f.float(p, float64(i), spec)
	case float64:
		f.numeric(&p)
		return f.float(p, v, spec)
	}
	f.fail("format: a specification for %s is not supported", typeName(v))
	return ""
}

func (f *formatter) numeric(p *fieldSpec) {
	if p.align == 0 {
		p.align = '>'
	}
	if p.zero && p.fill != " " {
		p.zero = false
	}
	if p.zero && p.group != "" {
		f.fail("format: zeros with separated thousands are not supported")
	}
}

func (f *formatter) float(p fieldSpec, v float64, spec string) string {
	switch p.verb {
	case 'e', 'E', 'f', 'F', 'g', 'G':
		return f.writeFloat(p, v)
	case '%':
		p.verb = 'f'
		if p.width > 0 && p.align == '>' {
			p.width--
		} else if p.width > 0 {
			f.fail("format: the specification %q is not supported", spec)
		}
		return f.writeFloat(p, v*100) + "%"
	case 0:
		if p.precision < 0 {
			sign := p.sign
			digits := formatFloat(v)
			if strings.HasPrefix(digits, "-") {
				sign, digits = "-", digits[1:]
			}
			return f.pad(p, sign, grouped(digits, p.group))
		}
	}
	f.fail("format: the specification %q is not supported for a float", spec)
	return ""
}

// spec reads [[fill]align][sign][#][0][width][,][.precision][type].
func (f *formatter) spec(t string) fieldSpec {
	p := fieldSpec{fill: " ", precision: -1}
	whole := t
	if _, n := utf8.DecodeRuneInString(t); n < len(t) && strings.IndexByte("<>^=", t[n]) >= 0 {
		p.fill, p.align, t = t[:n], t[n], t[n+1:]
	} else if strings.IndexByte("<>^=", t[0]) >= 0 {
		p.align, t = t[0], t[1:]
	}
	flag := func(chars string) string {
		if t != "" && strings.IndexByte(chars, t[0]) >= 0 {
			c := t[:1]
			t = t[1:]
			return c
		}
		return ""
	}
	digits := func() int64 {
		n := 0
		for n < len(t) && t[n] >= '0' && t[n] <= '9' {
			n++
		}
		i, err := strconv.ParseInt(t[:n], 10, 32)
		if err != nil {
			f.fail("format: the specification %q is malformed", whole)
		}
		t = t[n:]
		return i
	}
	if p.sign = flag("+- "); p.sign == "-" {
		p.sign = ""
	}
	p.alternate = flag("#") != ""
	p.zero = flag("0") != ""
	if t != "" && t[0] >= '0' && t[0] <= '9' {
		p.width = digits()
	}
	p.group = flag(",_")
	if flag(".") != "" {
		p.precision = digits()
	}
	if t != "" {
		p.verb, t = t[0], t[1:]
	}
	if t != "" {
		f.fail("format: the specification %q is malformed", whole)
	}
	return p
}
