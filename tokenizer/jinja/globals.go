package jinja

import (
	"strings"
	"time"
)

// maxRange is jinja2.sandbox.MAX_RANGE.
const maxRange = 100_000

// globals are the functions that transformers gives every template.
var globals map[string]value

func init() {
	globals = map[string]value{}
	for id, f := range map[string]func(s *state, a *args) value{
		"range": newRange, "dict": newDictFrom, "namespace": newNamespace, "cycler": newCycler, "joiner": newJoiner,
		"raise_exception": raise, "strftime_now": strftimeNow,
		"lipsum": func(s *state, _ *args) value { s.fail("lipsum is not supported: it is random"); return nil },
	} {
		globals[id] = &builtin{id, f}
	}
}

func newRange(s *state, a *args) value {
	p := s.bind("range", a, 1, "*start", "*stop", "*step")
	r := &span{0, s.integer("range", p[0]), 1}
	if p[1] != missing {
		r.start, r.stop = r.stop, s.integer("range", p[1])
	}
	if p[2] != missing {
		r.step = s.integer("range", p[2])
	}
	if r.step == 0 {
		s.fail("range: the step must not be zero")
	}
	const far = 1 << 62 // lengths below do not overflow
	if max(r.start, r.stop, r.step) > far || min(r.start, r.stop, r.step) < -far || s.subtract(r.stop, r.start)/r.step > maxRange || r.len() > maxRange {
		s.fail("range: more than %d numbers", maxRange)
	}
	s.charge(24)
	return r
}

// newDictFrom is dict(mapping or pairs, key=value …).
func newDictFrom(s *state, a *args) value {
	if len(a.pos) > 1 {
		s.fail("dict takes at most 1 argument, got %d", len(a.pos))
	}
	d := newDict(0)
	if len(a.pos) == 1 {
		switch v := a.pos[0].(type) {
		case *dict:
			d = s.merged(v)
		default:
			for _, entry := range s.sequence(v) {
				pair := s.sequence(entry)
				if len(pair) != 2 {
					s.fail("dict: a pair has %d items", len(pair))
				}
				d.set(s, pair[0], pair[1])
			}
		}
	}
	for i, id := range a.names {
		d.set(s, id, a.named[i])
	}
	return d
}

func newNamespace(s *state, a *args) value {
	n := &namespace{newDict(0)}
	d := newDictFrom(s, a).(*dict)
	for i, key := range d.keys {
		n.set(s, s.str(key), d.values[i])
	}
	return n
}

func (n *namespace) set(s *state, id string, v value) {
	if strings.HasPrefix(id, "_") {
		s.fail("a namespace cannot store the name %q: it begins with an underscore", id)
	}
	n.attrs.set(s, id, v)
}

// cycler hands out its items in turn.
type cycler struct {
	items []value
	at    int
}

func newCycler(s *state, a *args) value {
	if len(a.names) > 0 || len(a.pos) == 0 {
		s.fail("cycler: at least one item has to be provided")
	}
	return &cycler{items: a.pos}
}

func (c *cycler) attribute(id string) (value, bool) {
	switch id {
	case "current":
		return c.items[c.at], true
	case "pos":
		return int64(c.at), true
	case "items":
		return &tuple{items: c.items}, true
	case "next":
		return &builtin{id, func(s *state, a *args) value {
			s.bind("next", a, 0)
			v := c.items[c.at]
			c.at = (c.at + 1) % len(c.items)
			return v
		}}, true
	case "reset":
		return &builtin{id, func(s *state, a *args) value {
			s.bind("reset", a, 0)
			c.at = 0
			return nil
		}}, true
	}
	return nil, false
}

// newJoiner returns a function that is empty the first time it is called.
func newJoiner(s *state, a *args) value {
	by := s.bind("joiner", a, 0, "sep")[0]
	if by == missing {
		by = ", "
	}
	used := false
	return &builtin{"joiner", func(s *state, a *args) value {
		s.bind("joiner", a, 0)
		if used {
			return by
		}
		used = true
		return ""
	}}
}

func raise(s *state, a *args) value {
	s.fail("%s", s.str(s.bind("raise_exception", a, 1, "message")[0]))
	return nil
}

func strftimeNow(s *state, a *args) value {
	format := s.text("strftime_now", s.bind("strftime_now", a, 1, "format")[0])
	now := time.Now
	if s.now != nil {
		now = s.now
	}
	s.work(len(format))
	s.charge(16 * int64(len(format)))
	return s.strftime(now(), format)
}
