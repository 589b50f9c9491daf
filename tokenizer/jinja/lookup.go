package jinja

import (
	"strings"
	"unicode/utf8"
)

// getattr is x.id: the attribute, or else the item, as SandboxedEnvironment.getattr does.
func (s *state) getattr(x value, id string) value {
	switch v := x.(type) {
	case *undefined:
		s.defined(v)
	case *dict:
		if !dictMethods[id] && !strings.HasPrefix(id, "__") {
			if v, ok := v.get(s, id); ok {
				return v
			}
			return &undefined{name: id, of: "dict"}
		}
	}
	if v, ok := s.attribute(x, id); ok {
		return v
	}
	if d, ok := x.(*dict); ok {
		if v, ok := d.get(s, id); ok {
			return v
		}
	}
	return &undefined{name: id, of: typeName(x)}
}

// getitem is x[key]: the item, or else the attribute.
func (s *state) getitem(x, key value) value {
	if v, ok := s.item(x, key); ok {
		return v
	}
	if id, ok := text(key); ok {
		if v, ok := s.attribute(x, id); ok {
			return v
		}
		return &undefined{name: id, of: typeName(x)}
	}
	return &undefined{hint: typeName(x) + " object has no element " + s.repr(key)}
}

func (s *state) item(x, key value) (value, bool) {
	switch v := x.(type) {
	case *undefined:
		s.defined(v)
	case *dict:
		switch key.(type) {
		case *list, *dict:
			return nil, false
		}
		return v.get(s, key)
	}
	i, ok := integer(key)
	if !ok {
		return nil, false
	}
	switch v := x.(type) {
	case *list:
		if at, ok := index(i, len(v.items)); ok {
			return v.items[at], true
		}
	case *tuple:
		if at, ok := index(i, len(v.items)); ok {
			return v.items[at], true
		}
	case *span:
		if at, ok := index(i, int(v.len())); ok {
			return v.start + int64(at)*v.step, true
		}
	case string, markup:
		whole, _ := text(v)
		at, ok := index(i, s.runes(whole))
		if !ok {
			return nil, false
		}
		begin := runeOffset(whole, at)
		_, n := utf8.DecodeRuneInString(whole[begin:])
		return same(v, whole[begin:begin+n]), true
	}
	return nil, false
}

// same is text of the type of v: a part of what is HTML is HTML.
func same(v value, text string) value {
	if _, ok := v.(markup); ok {
		return markup(text)
	}
	return text
}

func index(i int64, n int) (int, bool) {
	if i < 0 {
		i += int64(n)
	}
	return int(i), i >= 0 && i < int64(n)
}

// runeOffset is where the rune number i begins.
func runeOffset(text string, i int) int {
	at := 0
	for ; i > 0 && at < len(text); i-- {
		_, n := utf8.DecodeRuneInString(text[at:])
		at += n
	}
	return at
}

// slice is x[start:stop:step].
func (s *state) slice(x value, parts [3]value) value {
	s.defined(x)
	var n int
	switch v := x.(type) {
	case string, markup, *list, *tuple, *span:
		n, _ = s.length(v)
	default:
		s.fail("%q object cannot be sliced", typeName(x))
	}
	start, count, step := s.bounds(parts, int64(n))
	switch v := x.(type) {
	case *list:
		return &list{s.pick(v.items, start, count, step)}
	case *tuple:
		return &tuple{items: s.pick(v.items, start, count, step)}
	case *span:
		begin := v.start + start*v.step
		return &span{begin, begin + count*step*v.step, step * v.step}
	}
	whole, _ := text(x)
	s.charge(int64(len(whole)))
	if count == 0 {
		return same(x, "")
	}
	if step == 1 {
		begin := runeOffset(whole, int(start))
		return same(x, whole[begin:begin+runeOffset(whole[begin:], int(count))])
	}
	s.charge(4 * int64(n))
	runes := []rune(whole)
	out := make([]rune, 0, count)
	for i := start; count > 0; i, count = i+step, count-1 {
		out = append(out, runes[i])
	}
	return same(x, string(out))
}

func (s *state) pick(items []value, start, count, step int64) []value {
	s.items(int(count))
	out := make([]value, 0, count)
	for i := start; count > 0; i, count = i+step, count-1 {
		out = append(out, items[i])
	}
	return out
}

// bounds is Python's slice.indices, with the number of items.
func (s *state) bounds(parts [3]value, n int64) (start, count, step int64) {
	number := func(v value, otherwise int64) int64 {
		if v == nil {
			return otherwise
		}
		i, ok := integer(v)
		if !ok {
			s.defined(v)
			s.fail("slice indices must be integers or None")
		}
		return i
	}
	step = number(parts[2], 1)
	if step == 0 {
		s.fail("slice step cannot be zero")
	}
	least, most := int64(0), n
	if step < 0 {
		least, most = -1, n-1
	}
	clamp := func(i int64) int64 {
		if i < 0 {
			i += n
		}
		return min(max(i, least), most)
	}
	var stop int64
	if start, stop = least, most; step < 0 {
		start, stop = most, least
	}
	if parts[0] != nil {
		start = clamp(number(parts[0], 0))
	}
	if parts[1] != nil {
		stop = clamp(number(parts[1], 0))
	}
	r := &span{start, stop, min(max(step, -n-1), n+1)}
	return start, r.len(), r.step
}

// attribute is Python's getattr, with what the sandbox keeps back as undefined.
func (s *state) attribute(x value, id string) (value, bool) {
	if strings.HasPrefix(id, "__") && strings.HasSuffix(id, "__") {
		return &undefined{hint: "access to attribute '" + id + "' of '" + typeName(x) + "' object is unsafe", secure: true}, true
	}
	switch v := x.(type) {
	case string, markup:
		return s.textMethod(v, id)
	case *dict:
		return s.dictMethod(v, id)
	case *list:
		return s.sequenceMethod(v, v.items, id)
	case *tuple:
		for i, n := range v.names {
			if n == id {
				return v.items[i], true
			}
		}
		return s.sequenceMethod(v, v.items, id)
	case *span:
		switch id {
		case "start":
			return v.start, true
		case "stop":
			return v.stop, true
		case "step":
			return v.step, true
		}
	case *namespace:
		return v.attrs.get(s, id)
	case *loop:
		return v.attribute(s, id)
	case *cycler:
		return v.attribute(id)
	case *macro:
		return v.attribute(id)
	case bool, int64, float64:
		return s.numberMethod(v, id)
	}
	return nil, false
}
