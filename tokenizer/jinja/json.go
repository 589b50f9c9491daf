package jinja

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf16"
)

// jsonWriter is json.dumps with the options that transformers' tojson passes on.
type jsonWriter struct {
	*state
	b           strings.Builder
	ascii, sort bool
	indent      string
	pretty      bool
	item, colon string
	counted     int
}

// toJSON is the filter tojson: unlike Jinja2's own it neither sorts nor escapes HTML.
func toJSON(s *state, v value, a *args) value {
	p := s.bind("tojson", a, 0, "ensure_ascii", "indent", "separators", "sort_keys")
	w := &jsonWriter{state: s, item: ", ", colon: ": "}
	w.ascii = p[0] != missing && s.truth(p[0])
	w.sort = p[3] != missing && s.truth(p[3])
	if p[1] != missing && p[1] != nil {
		w.pretty, w.item = true, ","
		if text, ok := text(p[1]); ok {
			w.indent = text
		} else {
			w.indent = s.repeatText(" ", s.integer("tojson", p[1]))
		}
	}
	if p[2] != missing && p[2] != nil {
		pair := s.sequence(p[2])
		if len(pair) != 2 {
			s.fail("tojson: separators must be two strings")
		}
		w.item, w.colon = s.text("tojson", pair[0]), s.text("tojson", pair[1])
	}
	w.value(v, 0)
	w.account()
	return w.b.String()
}

// account charges for what was written since it was last called.
func (w *jsonWriter) account() {
	w.charge(int64(w.b.Len() - w.counted))
	w.counted = w.b.Len()
}

func (w *jsonWriter) line(depth int) {
	if !w.pretty {
		return
	}
	w.charge(int64(depth*len(w.indent)) + 1)
	w.b.WriteByte('\n')
	w.b.WriteString(strings.Repeat(w.indent, depth))
}

func (w *jsonWriter) value(v value, depth int) {
	w.step()
	w.descend()
	defer w.ascend()
	w.account()
	switch v := v.(type) {
	case nil, bool, int64, float64:
		w.b.WriteString(w.scalar(v))
	case string:
		w.quoted(v)
	case markup:
		w.quoted(string(v))
	case *list:
		w.array(v.items, depth)
	case *tuple:
		w.array(v.items, depth)
	case *dict:
		w.object(v, depth)
	default:
		w.fail("tojson: an object of type %s is not JSON serializable", typeName(v))
	}
}

func (w *jsonWriter) scalar(v value) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(v)
	case float64:
		switch {
		case math.IsNaN(v):
			return "NaN"
		case math.IsInf(v, 1):
			return "Infinity"
		case math.IsInf(v, -1):
			return "-Infinity"
		}
	}
	return w.repr(v)
}

func (w *jsonWriter) array(items []value, depth int) {
	if len(items) == 0 {
		w.b.WriteString("[]")
		return
	}
	w.b.WriteByte('[')
	for i, item := range items {
		if i > 0 {
			w.b.WriteString(w.item)
		}
		w.line(depth + 1)
		w.value(item, depth+1)
	}
	w.line(depth)
	w.b.WriteByte(']')
}

func (w *jsonWriter) object(d *dict, depth int) {
	if len(d.keys) == 0 {
		w.b.WriteString("{}")
		return
	}
	order := make([]value, len(d.keys))
	for i := range order {
		order[i] = int64(i)
	}
	if w.sort {
		order = w.sorted(order, d.keys, false)
	}
	w.b.WriteByte('{')
	for n, at := range order {
		if n > 0 {
			w.b.WriteString(w.item)
		}
		w.line(depth + 1)
		i := at.(int64)
		switch key := d.keys[i].(type) {
		case string:
			w.quoted(key)
		case nil, bool, int64, float64:
			w.quoted(w.scalar(key))
		default:
			w.fail("tojson: a key of type %s is not JSON serializable", typeName(key))
		}
		w.b.WriteString(w.colon)
		w.value(d.values[i], depth+1)
	}
	w.line(depth)
	w.b.WriteByte('}')
}

func (w *jsonWriter) quoted(text string) {
	w.account()
	w.charge(int64(len(text)))
	w.b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			w.b.WriteByte('\\')
			w.b.WriteRune(r)
		case r == '\n':
			w.b.WriteString(`\n`)
		case r == '\r':
			w.b.WriteString(`\r`)
		case r == '\t':
			w.b.WriteString(`\t`)
		case r == '\f':
			w.b.WriteString(`\f`)
		case r == '\b':
			w.b.WriteString(`\b`)
		case r < ' ' || w.ascii && r > '~' && r < 0x10000:
			w.b.WriteString(`\u` + hex(r, 4))
		case w.ascii && r >= 0x10000:
			high, low := utf16.EncodeRune(r)
			w.b.WriteString(`\u` + hex(high, 4) + `\u` + hex(low, 4))
		default:
			w.b.WriteRune(r)
		}
	}
	w.b.WriteByte('"')
}
