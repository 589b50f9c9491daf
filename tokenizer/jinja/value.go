package jinja

import (
	"strings"
	"unicode/utf8"
)

// value is a Python value: nil (None), bool, int64, float64, string, markup, or one of the pointers below.
type value any

type (
	// markup is a string that is HTML already: what escape and safe return.
	markup string
	list   struct{ items []value }
	tuple  struct {
		items []value
		names []string // of a groupby tuple
	}
	// span is a range.
	span struct{ start, stop, step int64 }
	// dictView is what keys, values and items return.
	dictView struct {
		d    *dict
		kind string
	}
	namespace struct{ attrs *dict }
	// iterator is a generator: it can be walked through once.
	iterator struct{ next func() (value, bool) }
	// undefined is Jinja2's Undefined: it prints as nothing, and most else with it is an error.
	undefined struct {
		hint   string // instead of a message
		name   string
		of     string // type of the value that lacks the attribute or element
		secure bool   // the sandbox keeps it from the template
	}
	// builtin is a function of the engine.
	builtin struct {
		name string
		call func(s *state, a *args) value
	}
	macro struct {
		*macroDef
		frame *frame // where it was defined
	}
)

// missing marks a variable that is not set.
var missing = &struct{ byte }{}

// dict keeps its keys in order. Small ones are searched, large ones hashed.
type dict struct {
	keys, values []value
	index        map[any]int
}

const hashedFrom = 12 // keys

func newDict(n int) *dict { return &dict{keys: make([]value, 0, n), values: make([]value, 0, n)} }

// hashKey is equal for keys that are equal in Python: 1, 1.0 and True are.
func (s *state) hashKey(key value) any {
	switch k := key.(type) {
	case nil, string, int64:
		return k
	case markup:
		return string(k)
	case bool:
		return toInt(k)
	case float64:
		if i := int64(k); float64(i) == k {
			return i
		}
		return k
	case *tuple:
		s.descend()
		defer s.ascend()
		var b strings.Builder
		for _, item := range k.items {
			b.WriteString(typeName(item))
			b.WriteString(s.repr(item))
			b.WriteByte(0)
			s.hashKey(item)
		}
		return [1]string{b.String()}
	case *list, *dict:
		s.fail("unhashable type: %q", typeName(key))
	case *undefined:
		return undefined{}
	}
	return key
}

// find returns the place of a key, or -1.
func (d *dict) find(s *state, key value) int {
	if text, ok := key.(string); ok && d.index == nil {
		for i, k := range d.keys {
			if k, ok := k.(string); ok && k == text {
				return i
			}
		}
		return -1
	}
	hash := s.hashKey(key)
	if d.index != nil {
		if i, ok := d.index[hash]; ok {
			return i
		}
		return -1
	}
	for i, k := range d.keys {
		if s.hashKey(k) == hash {
			return i
		}
	}
	return -1
}

func (d *dict) get(s *state, key value) (value, bool) {
	if i := d.find(s, key); i >= 0 {
		return d.values[i], true
	}
	return nil, false
}

func (d *dict) set(s *state, key, v value) {
	s.step()
	if m, ok := key.(markup); ok {
		key = string(m)
	}
	if i := d.find(s, key); i >= 0 {
		d.values[i] = v
		return
	}
	s.charge(64)
	d.keys, d.values = append(d.keys, key), append(d.values, v)
	switch {
	case d.index != nil:
		d.index[s.hashKey(key)] = len(d.keys) - 1
	case len(d.keys) >= hashedFrom:
		d.index = make(map[any]int, 2*len(d.keys))
		for i, k := range d.keys {
			d.index[s.hashKey(k)] = i
		}
	}
}

func (r *span) len() int64 {
	switch {
	case r.step > 0 && r.start < r.stop:
		return (r.stop-r.start-1)/r.step + 1
	case r.step < 0 && r.start > r.stop:
		return (r.start-r.stop-1)/-r.step + 1
	}
	return 0
}

// message is what using an undefined value says.
func (u *undefined) message() string {
	switch {
	case u.hint != "":
		return u.hint
	case u.of != "":
		return "'" + u.of + "' has no attribute '" + u.name + "'"
	}
	return "'" + u.name + "' is undefined"
}

// typeName is Python's name of a value's type.
func typeName(v value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case markup:
		return "Markup"
	case *list:
		return "list"
	case *tuple:
		return "tuple"
	case *dict:
		return "dict"
	case *span:
		return "range"
	case *dictView:
		return "dict_" + v.kind
	case *namespace:
		return "Namespace"
	case *iterator:
		return "generator"
	case *undefined:
		return "Undefined"
	case *macro:
		return "Macro"
	case *loop:
		return "LoopContext"
	}
	return "function"
}

// text is the string of a str or Markup.
func text(v value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case markup:
		return string(v), true
	}
	return "", false
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// integer is the value of an int or bool.
func integer(v value) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		return toInt(v), true
	}
	return 0, false
}

// number is the value of an int, bool or float.
func number(v value) (float64, bool) {
	if i, ok := integer(v); ok {
		return float64(i), true
	}
	f, ok := v.(float64)
	return f, ok
}

func (s *state) truth(v value) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case *undefined:
		return false
	case int64:
		return v != 0
	case float64:
		return v != 0
	case *iterator, *namespace, *builtin, *macro, *cycler:
		return true
	}
	n, _ := s.length(v)
	return n > 0
}

// length is len(v); ok is false where v has none.
func (s *state) length(v value) (n int, ok bool) {
	switch v := v.(type) {
	case string:
		return s.runes(v), true
	case markup:
		return s.runes(string(v)), true
	case *list:
		return len(v.items), true
	case *tuple:
		return len(v.items), true
	case *dict:
		return len(v.keys), true
	case *dictView:
		return len(v.d.keys), true
	case *span:
		return int(v.len()), true
	case *undefined:
		return 0, true
	case *loop:
		return v.length(s), true
	}
	return 0, false
}

func (s *state) runes(text string) int {
	s.work(len(text))
	return utf8.RuneCountInString(text)
}
