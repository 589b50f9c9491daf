package jinja

import (
	"strconv"
	"strings"
)

// attributes looks up a path: a.b.0, or one integer. A value that lacks a part becomes otherwise, unless that is missing.
func (s *state) attributes(path, otherwise value) func(value) value {
	if path == nil || path == missing {
		return func(v value) value { return v }
	}
	parts := []value{path}
	if t, ok := text(path); ok {
		parts = nil
		for _, part := range strings.Split(t, ".") {
			s.charge(32)
			if i, err := strconv.ParseInt(part, 10, 64); err == nil && every(part, isDecimal) {
				parts = append(parts, i)
			} else {
				parts = append(parts, part)
			}
		}
	}
	return func(v value) value {
		for _, part := range parts {
			s.step()
			v = s.getitem(v, part)
			if otherwise != missing && otherwise != nil && isUndefined(v) {
				v = otherwise
			}
		}
		return v
	}
}

// ignoreCase lowers strings for a comparison.
func ignoreCase(v value) value {
	if t, ok := text(v); ok {
		return lower(t)
	}
	return v
}

// keyed is the key by which items are compared.
func (s *state) keyed(path value, caseSensitive value) func(value) value {
	of := s.attributes(path, missing)
	if s.truthOr(caseSensitive, false) {
		return of
	}
	return func(v value) value {
		k := ignoreCase(of(v))
		if t, ok := k.(string); ok {
			s.charge(int64(len(t)))
		}
		return k
	}
}

func (s *state) keys(items []value, of func(value) value) []value {
	s.items(len(items))
	keys := make([]value, len(items))
	for i, item := range items {
		keys[i] = of(item)
	}
	return keys
}

func sortFilter(s *state, v value, a *args) value {
	p := s.bind("sort", a, 0, "reverse", "case_sensitive", "attribute")
	var of []func(value) value
	if t, ok := text(p[2]); ok {
		for _, part := range strings.Split(t, ",") {
			of = append(of, s.keyed(part, p[1]))
		}
	} else {
		of = append(of, s.keyed(p[2], p[1]))
	}
	items := s.sequence(v)
	keys := s.keys(items, func(item value) value {
		s.items(len(of))
		key := &list{}
		for _, f := range of {
			key.items = append(key.items, f(item))
		}
		return key
	})
	return &list{s.sorted(items, keys, s.truthOr(p[0], false))}
}

func dictSort(s *state, v value, a *args) value {
	p := s.bind("dictsort", a, 0, "case_sensitive", "by", "reverse")
	by := s.textOr("dictsort", p[1], "key")
	if by != "key" && by != "value" {
		s.fail(`dictsort: you can only sort by either "key" or "value"`)
	}
	d, ok := v.(*dict)
	if !ok {
		s.defined(v)
		s.fail("dictsort: %q object is no mapping", typeName(v))
	}
	from := d.keys
	if by == "value" {
		from = d.values
	}
	keys := s.keys(from, s.keyed(nil, p[0]))
	return &list{s.sorted(s.sequence(&dictView{d, "items"}), keys, s.truthOr(p[2], false))}
}

func unique(s *state, v value, a *args) value {
	p := s.bind("unique", a, 0, "case_sensitive", "attribute")
	of := s.keyed(p[1], p[0])
	seen := newDict(0)
	items := s.iterate(v)
	return &iterator{func() (value, bool) {
		for {
			item, ok := items()
			if !ok {
				return nil, false
			}
			key := of(item)
			if seen.find(s, key) < 0 {
				seen.set(s, key, true)
				return item, true
			}
		}
	}}
}

// extreme is min and max: the first of equal items.
func extreme(id, op string) filter {
	return func(s *state, v value, a *args) value {
		p := s.bind(id, a, 0, "case_sensitive", "attribute")
		of := s.keyed(p[1], p[0])
		items := s.iterate(v)
		best, ok := items()
		if !ok {
			return &undefined{hint: "no aggregated item, sequence was empty"}
		}
		key := of(best)
		for {
			item, ok := items()
			if !ok {
				return best
			}
			s.step()
			if k := of(item); s.compare(op, k, key) {
				best, key = item, k
			}
		}
	}
}

func groupBy(s *state, v value, a *args) value {
	p := s.bind("groupby", a, 1, "attribute", "default", "case_sensitive")
	plain := s.attributes(p[0], p[1])
	of := func(item value) value {
		if s.truthOr(p[2], false) {
			return plain(item)
		}
		return ignoreCase(plain(item))
	}
	items := s.sequence(v)
	items = s.sorted(items, s.keys(items, of), false)
	out := &list{}
	var key value
	var group *list
	for _, item := range items {
		s.items(4)
		if k := of(item); group == nil || !s.equal(k, key) {
			key, group = k, &list{}
			out.items = append(out.items, &tuple{items: []value{plain(item), group}, names: []string{"grouper", "list"}})
		}
		group.items = append(group.items, item)
	}
	return out
}

func sum(s *state, v value, a *args) value {
	p := s.bind("sum", a, 0, "attribute", "start")
	var total value = int64(0)
	if p[1] != missing {
		total = p[1]
	}
	if _, ok := text(total); ok {
		s.fail("sum: strings cannot be summed up")
	}
	of := s.attributes(p[0], missing)
	items := s.iterate(v)
	for {
		item, ok := items()
		if !ok {
			return total
		}
		s.step()
		total = s.arithmetic('+', total, of(item))
	}
}

func joinFilter(s *state, v value, a *args) value {
	p := s.bind("join", a, 0, "d", "attribute")
	by := ""
	if p[0] != missing {
		by = s.str(p[0])
	}
	of := s.attributes(p[1], missing)
	items := s.iterate(v)
	var parts []string
	for {
		item, ok := items()
		if !ok {
			return s.joined(parts, by)
		}
		s.step()
		s.charge(16)
		parts = append(parts, s.str(of(item)))
	}
}

func attr(s *state, v value, a *args) value {
	id := s.text("attr", s.bind("attr", a, 1, "name")[0])
	s.defined(v)
	if found, ok := s.attribute(v, id); ok {
		return found
	}
	return &undefined{name: id, of: typeName(v)}
}
