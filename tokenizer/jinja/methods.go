package jinja

import "math"

// dictMethods are the names that a dict's own keys do not hide behind a dot.
var dictMethods = map[string]bool{"clear": true, "copy": true, "fromkeys": true, "get": true, "items": true, "keys": true, "pop": true,
	"popitem": true, "setdefault": true, "update": true, "values": true}

// unsafe is what the sandbox returns for a method that would change a value: calling it is an error.
func unsafe(v value, id string) *undefined {
	return &undefined{hint: "access to attribute '" + id + "' of '" + typeName(v) + "' object is unsafe", secure: true}
}

func (s *state) dictMethod(d *dict, id string) (value, bool) {
	switch id {
	case "keys", "values", "items":
		return &builtin{id, func(s *state, a *args) value {
			s.bind(id, a, 0)
			return &dictView{d, id}
		}}, true
	case "get":
		return &builtin{id, func(s *state, a *args) value {
			p := s.bind(id, a, 1, "*key", "*default")
			if v, ok := d.get(s, p[0]); ok {
				return v
			}
			if p[1] == missing {
				return nil
			}
			return p[1]
		}}, true
	case "copy":
		return &builtin{id, func(s *state, a *args) value {
			s.bind(id, a, 0)
			return s.merged(d)
		}}, true
	case "clear", "pop", "popitem", "setdefault", "update":
		return unsafe(d, id), true
	case "fromkeys":
		s.fail("the method dict.fromkeys is not supported")
	}
	return nil, false
}

// merged is a new dict of the entries of others, later ones first.
func (s *state) merged(dicts ...*dict) *dict {
	out := newDict(0)
	for _, d := range dicts {
		for i, key := range d.keys {
			out.set(s, key, d.values[i])
		}
	}
	return out
}

func (s *state) sequenceMethod(v value, items []value, id string) (value, bool) {
	_, isList := v.(*list)
	switch id {
	case "index":
		return &builtin{id, func(s *state, a *args) value {
			p := s.bind(id, a, 1, "*value", "*start", "*stop")
			for i := range p {
				if p[i] == missing {
					p[i] = nil
				}
			}
			start, count, _ := s.bounds([3]value{p[1], p[2]}, int64(len(items)))
			for i := start; i < start+count; i++ {
				s.step()
				if s.equal(items[i], p[0]) {
					return i
				}
			}
			s.fail("index: the value is not in the %s", typeName(v))
			return nil
		}}, true
	case "count":
		return &builtin{id, func(s *state, a *args) value {
			p := s.bind(id, a, 1, "*value")
			n := int64(0)
			for _, item := range items {
				s.step()
				if s.equal(item, p[0]) {
					n++
				}
			}
			return n
		}}, true
	case "copy":
		if !isList {
			return nil, false
		}
		return &builtin{id, func(s *state, a *args) value {
			s.bind(id, a, 0)
			s.items(len(items))
			return &list{append([]value(nil), items...)}
		}}, true
	case "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove":
		if isList {
			return unsafe(v, id), true
		}
	}
	return nil, false
}

// absentNumberMethods are methods of int and float that are not here.
var absentNumberMethods = map[string]bool{"as_integer_ratio": true, "bit_count": true, "bit_length": true, "from_bytes": true, "fromhex": true,
	"hex": true, "to_bytes": true}

func (s *state) numberMethod(v value, id string) (value, bool) {
	f, isFloat := v.(float64)
	i, _ := integer(v)
	switch {
	case id == "real" && isFloat:
		return f, true
	case id == "imag" && isFloat:
		return 0.0, true
	case id == "real" || id == "numerator" && !isFloat:
		return i, true
	case id == "imag":
		return int64(0), true
	case id == "denominator" && !isFloat:
		return int64(1), true
	case id == "is_integer":
		return &builtin{id, func(s *state, a *args) value {
			s.bind(id, a, 0)
			return !isFloat || f == math.Trunc(f) && !math.IsInf(f, 0)
		}}, true
	case id == "conjugate":
		return &builtin{id, func(s *state, a *args) value {
			s.bind(id, a, 0)
			if isFloat {
				return f
			}
			return i
		}}, true
	case absentNumberMethods[id]:
		s.fail("the method %s.%s is not supported", typeName(v), id)
	}
	return nil, false
}

func (m *macro) attribute(id string) (value, bool) {
	switch id {
	case "name":
		if m.name == "" {
			return nil, true
		}
		return m.name, true
	case "arguments":
		t := &tuple{}
		for _, p := range m.params {
			t.items = append(t.items, p.id)
		}
		return t, true
	case "caller":
		return m.usesCaller, true
	case "catch_kwargs":
		return m.usesKwargs, true
	case "catch_varargs":
		return m.usesVarargs, true
	}
	return nil, false
}
