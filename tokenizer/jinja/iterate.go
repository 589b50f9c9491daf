package jinja

import "unicode/utf8"

// iterate is Python's iter(v).
func (s *state) iterate(v value) func() (value, bool) {
	at := 0
	over := func(n int, get func(i int) value) func() (value, bool) {
		return func() (value, bool) {
			if at >= n {
				return nil, false
			}
			at++
			return get(at - 1), true
		}
	}
	if whole, ok := text(v); ok {
		return func() (value, bool) {
			if at >= len(whole) {
				return nil, false
			}
			_, n := utf8.DecodeRuneInString(whole[at:])
			s.charge(16)
			at += n
			return whole[at-n : at], true
		}
	}
	switch v := v.(type) {
	case *list:
		return over(len(v.items), func(i int) value { return v.items[i] })
	case *tuple:
		return over(len(v.items), func(i int) value { return v.items[i] })
	case *dict:
		return over(len(v.keys), func(i int) value { return v.keys[i] })
	case *dictView:
		return over(len(v.d.keys), func(i int) value { return v.at(s, i) })
	case *span:
		return over(int(v.len()), func(i int) value { s.charge(8); return v.start + int64(i)*v.step })
	case *iterator:
		return v.next
	case *undefined:
		return over(0, nil)
	case *loop:
		return func() (value, bool) {
			item, ok := v.advance(s)
			if !ok {
				return nil, false
			}
			return &tuple{items: []value{item, v}}, true
		}
	}
	s.fail("%q object is not iterable", typeName(v))
	return nil
}

func (v *dictView) at(s *state, i int) value {
	switch v.kind {
	case "keys":
		return v.d.keys[i]
	case "values":
		return v.d.values[i]
	}
	s.items(2)
	return &tuple{items: []value{v.d.keys[i], v.d.values[i]}}
}

// sequence is Python's list(v), or the very items of a list or tuple: nobody may change them.
func (s *state) sequence(v value) []value {
	switch v := v.(type) {
	case *list:
		return v.items
	case *tuple:
		return v.items
	}
	var out []value
	items := s.iterate(v)
	for {
		item, ok := items()
		if !ok {
			return out
		}
		s.step()
		s.charge(32)
		out = append(out, item)
	}
}

// reversed is Python's reversed(v); ok is false where v has no order.
func (s *state) reversed(v value) (next func() (value, bool), ok bool) {
	switch v.(type) {
	case *list, *tuple, *dict, *dictView, *span, string, markup:
	default:
		return nil, false
	}
	items := s.sequence(v)
	i := len(items)
	return func() (value, bool) {
		if i == 0 {
			return nil, false
		}
		i--
		return items[i], true
	}, true
}

// loop is the variable loop of a for statement.
type loop struct {
	items            func() (value, bool)
	over             value // what the items come from
	again            func(value) string
	depth0, index0   int
	current, before  value
	peeked           bool // after holds the next item, or the end
	after            value
	ended            bool
	counted          int // length + 1, once it is known
	changedLast      value
	everAskedChanged bool
}

func (l *loop) advance(s *state) (value, bool) {
	item, ok := l.peek()
	if !ok {
		return nil, false
	}
	l.peeked = false
	l.index0++
	l.before, l.current = l.current, item
	return item, true
}

func (l *loop) peek() (value, bool) {
	if !l.peeked {
		l.after, l.ended = nil, true
		if item, ok := l.items(); ok {
			l.after, l.ended = item, false
		}
		l.peeked = true
	}
	return l.after, !l.ended
}

func (l *loop) length(s *state) int {
	if l.counted > 0 {
		return l.counted - 1
	}
	n := 0
	if known, ok := s.length(l.over); ok {
		n = known
	} else {
		rest := s.sequence(&iterator{l.items})
		l.items = s.iterate(&list{rest})
		n = len(rest) + l.index0 + 1
		if l.peeked && !l.ended {
			n++
		}
	}
	l.counted = n + 1
	return n
}

func (l *loop) attribute(s *state, id string) (value, bool) {
	switch id {
	case "index":
		return int64(l.index0 + 1), true
	case "index0":
		return int64(l.index0), true
	case "revindex":
		return int64(l.length(s) - l.index0), true
	case "revindex0":
		return int64(l.length(s) - l.index0 - 1), true
	case "first":
		return l.index0 == 0, true
	case "last":
		_, more := l.peek()
		return !more, true
	case "length":
		return int64(l.length(s)), true
	case "depth":
		return int64(l.depth0 + 1), true
	case "depth0":
		return int64(l.depth0), true
	case "previtem":
		if l.index0 == 0 {
			return &undefined{hint: "there is no previous item"}, true
		}
		return l.before, true
	case "nextitem":
		item, ok := l.peek()
		if !ok {
			return &undefined{hint: "there is no next item"}, true
		}
		return item, true
	case "cycle":
		return &builtin{"cycle", func(s *state, a *args) value {
			if len(a.pos) == 0 || len(a.names) > 0 {
				s.fail("cycle: no items given")
			}
			return a.pos[l.index0%len(a.pos)]
		}}, true
	case "changed":
		return &builtin{"changed", func(s *state, a *args) value {
			now := &tuple{items: a.pos}
			changed := !l.everAskedChanged || !s.equal(l.changedLast, now)
			l.changedLast, l.everAskedChanged = now, true
			return changed
		}}, true
	}
	return nil, false
}
