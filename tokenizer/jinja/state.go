package jinja

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// state is one rendering.
type state struct {
	variables []pair
	frame     *frame
	out       []byte
	capturing int // blocks whose text is kept apart, one in the other
	written   int // bytes of the text proper, while capturing
	spans     []generated
	block     []string // the text of the block whose filters are applied
	line      int
	depth     int
	input     int64 // bytes of the variables

	steps, memory, output int64 // left
	now                   func() time.Time
}

type pair struct {
	name string
	v    value
}

// frame holds the variables of a function's call.
type frame struct {
	slots  []value
	parent *frame
}

func newFrame(slots int, parent *frame) *frame {
	f := &frame{make([]value, slots), parent}
	for i := range f.slots {
		f.slots[i] = missing
	}
	return f
}

func (s *state) fail(format string, args ...any) { failAt(s.line, format, args...) }

// step counts one operation.
func (s *state) step() {
	if s.steps--; s.steps < 0 {
		s.fail("the template runs for too long")
	}
}

// work counts an operation that looks through n bytes or items.
func (s *state) work(n int) {
	if s.steps -= int64(n)/64 + 1; s.steps < 0 {
		s.fail("the template runs for too long")
	}
}

// charge counts n bytes before they are made.
func (s *state) charge(n int64) {
	if s.memory -= n; n < 0 || s.memory < 0 {
		s.fail("the template takes too much memory")
	}
}

// items charges for n values.
func (s *state) items(n int) { s.charge(16*int64(n) + 48) }

// maxDepth bounds macros, recursive loops and nested values one in the other.
const maxDepth = 200

func (s *state) descend() {
	if s.depth++; s.depth > maxDepth {
		s.fail("more than %d macros, loops or values one in the other", maxDepth)
	}
}

func (s *state) ascend() { s.depth-- }

func (s *state) write(text string) {
	s.charge(int64(len(text)))
	if int64(len(s.out)+len(text)) > s.output {
		s.fail("the template writes without end")
	}
	s.out = append(s.out, text...)
}

// capture returns what f writes.
func (s *state) capture(f func()) string {
	outer := s.out
	if s.capturing == 0 {
		s.written = len(outer)
	}
	s.capturing++
	s.out = nil
	f()
	text := string(s.out)
	s.charge(int64(len(text)))
	s.out = outer
	s.capturing--
	return text
}

// position is how much of the text proper is written.
func (s *state) position() int {
	if s.capturing == 0 {
		return len(s.out)
	}
	return s.written
}

func (s *state) slot(r ref) *value {
	f := s.frame
	for range r.up {
		f = f.parent
	}
	return &f.slots[r.slot]
}

func (s *state) enter(c *scope) {
	for i := range c.loads {
		l := &c.loads[i]
		switch l.kind {
		case parameter:
		case resolved:
			s.frame.slots[l.slot] = s.lookup(l.name)
		case alias:
			s.frame.slots[l.slot] = *s.slot(l.from)
		case undefined_:
			s.frame.slots[l.slot] = missing
		}
	}
}

func (s *state) leave(c *scope) {
	for i := range c.loads {
		s.frame.slots[c.loads[i].slot] = missing
	}
}

// lookup finds a variable given to the template, or a function that every template has.
func (s *state) lookup(id string) value {
	for i := range s.variables {
		if s.variables[i].name == id {
			return s.variables[i].v
		}
	}
	if f, ok := globals[id]; ok {
		return f
	}
	if id == "self" || id == "super" {
		s.fail("%s is not supported", id)
	}
	return missing
}

// Dict is a mapping whose keys keep their order.
type Dict []Item

// Item is an entry of a Dict.
type Item struct {
	Key   string
	Value any
}

func (s *state) convertAll(variables map[string]any) {
	s.variables = make([]pair, 0, len(variables))
	s.steps, s.memory = 1<<62, 1<<62
	for id, v := range variables {
		s.variables = append(s.variables, pair{id, s.convert(v)})
	}
	slices.SortFunc(s.variables, func(a, b pair) int { return cmp.Compare(a.name, b.name) }) // the same error every time
}

// convert makes a value of what the caller gave.
func (s *state) convert(v any) value {
	s.input += 16
	s.descend()
	defer s.ascend()
	switch v := v.(type) {
	case nil:
		return nil
	case bool:
		return v
	case string:
		s.input += int64(len(v))
		return v
	case int:
		return int64(v)
	case int64:
		return v
	case float64:
		return v
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			s.fail("the number %s is not supported", v)
		}
		return f
	case []any:
		l := &list{make([]value, len(v))}
		for i := range v {
			l.items[i] = s.convert(v[i])
		}
		return l
	case Dict:
		d := newDict(len(v))
		for _, item := range v {
			s.input += int64(len(item.Key))
			d.set(s, item.Key, s.convert(item.Value))
		}
		return d
	case map[string]any:
		d := newDict(len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			s.input += int64(len(key))
			d.set(s, key, s.convert(v[key]))
		}
		return d
	}
	panic(fmt.Sprintf("a variable of type %T", v))
}
