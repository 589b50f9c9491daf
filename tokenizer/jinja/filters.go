package jinja

type filter func(s *state, v value, a *args) value

// filters are those of jinja2/filters.py, with transformers' tojson. Four are refused: pprint and urlize, which no chat
// template needs, random, and xmlattr.
var filters map[string]filter

func init() { // some filters call others by name
	filters = map[string]filter{
		"abs": abs, "attr": attr, "batch": batch, "capitalize": textFilter("capitalize", capitalize), "center": center, "count": length,
		"d": defaultFilter, "default": defaultFilter, "dictsort": dictSort, "e": escapeFilter, "escape": escapeFilter,
		"filesizeformat": fileSize, "first": first, "float": floatFilter, "forceescape": forceEscape, "format": formatFilter,
		"groupby": groupBy, "indent": indent, "int": intFilter, "items": itemsFilter, "join": joinFilter, "last": last, "length": length,
		"list": listFilter, "lower": textFilter("lower", lower), "map": mapFilter, "max": extreme("max", ">"), "min": extreme("min", "<"),
		"reject": choose("reject", false, false), "rejectattr": choose("rejectattr", true, false), "replace": replaceFilter, "reverse": reverse, "round": round,
		"safe": safe, "select": choose("select", false, true), "selectattr": choose("selectattr", true, true), "slice": sliceFilter, "sort": sortFilter,
		"string": stringFilter, "striptags": stripTags, "sum": sum, "title": textFilter("title", titleFilter), "tojson": toJSON, "trim": trimFilter,
		"truncate": truncate, "unique": unique, "upper": textFilter("upper", upper), "urlencode": urlEncode, "wordcount": wordCount,
		"wordwrap": refused("wordwrap"), "pprint": refused("pprint"), "random": refused("random"), "urlize": refused("urlize"), "xmlattr": refused("xmlattr"),
	}
}

func refused(id string) filter {
	return func(s *state, _ value, _ *args) value {
		s.fail("the filter %q is not supported", id)
		return nil
	}
}

func length(s *state, v value, a *args) value {
	s.bind("length", a, 0)
	n, ok := s.length(v)
	if !ok {
		s.fail("object of type %q has no length", typeName(v))
	}
	return int64(n)
}

func defaultFilter(s *state, v value, a *args) value {
	p := s.bind("default", a, 0, "default_value", "boolean")
	if isUndefined(v) || s.truthOr(p[1], false) && !s.truth(v) {
		if p[0] == missing {
			return ""
		}
		return p[0]
	}
	return v
}

func first(s *state, v value, a *args) value {
	s.bind("first", a, 0)
	if item, ok := s.iterate(v)(); ok {
		return item
	}
	return &undefined{hint: "no first item, sequence was empty"}
}

func last(s *state, v value, a *args) value {
	s.bind("last", a, 0)
	if isUndefined(v) {
		s.defined(v)
	}
	items, ok := s.reversed(v)
	if !ok {
		s.fail("last: %q object is not reversible", typeName(v))
	}
	if item, ok := items(); ok {
		return item
	}
	return &undefined{hint: "no last item, sequence was empty"}
}

func listFilter(s *state, v value, a *args) value {
	s.bind("list", a, 0)
	items := s.sequence(v)
	s.items(len(items))
	return &list{append([]value(nil), items...)}
}

func itemsFilter(s *state, v value, a *args) value {
	s.bind("items", a, 0)
	if isUndefined(v) {
		return &iterator{func() (value, bool) { return nil, false }}
	}
	d, ok := v.(*dict)
	if !ok {
		return &iterator{func() (value, bool) { s.fail("items: can only get item pairs from a mapping"); return nil, false }}
	}
	return &iterator{s.iterate(&dictView{d, "items"})}
}

func reverse(s *state, v value, a *args) value {
	s.bind("reverse", a, 0)
	if t, ok := text(v); ok {
		return s.slice(same(v, t), [3]value{nil, nil, int64(-1)})
	}
	if items, ok := s.reversed(v); ok {
		return &iterator{items}
	}
	items := s.sequence(v)
	s.items(len(items))
	out := &list{make([]value, len(items))}
	for i, item := range items {
		out.items[len(items)-1-i] = item
	}
	return out
}

func batch(s *state, v value, a *args) value {
	p := s.bind("batch", a, 1, "linecount", "fill_with")
	n := s.integer("batch", p[0])
	items := s.iterate(v)
	var rows []value
	var row []value
	s.step()
	for {
		item, ok := items()
		if !ok {
			break
		}
		s.charge(32)
		if int64(len(row)) == n {
			rows, row = append(rows, &list{row}), nil
		}
		row = append(row, item)
	}
	if row != nil {
		if p[1] != missing && p[1] != nil && int64(len(row)) < n {
			s.charge(s.multiply(n, 16))
			for int64(len(row)) < n {
				row = append(row, p[1])
			}
		}
		rows = append(rows, &list{row})
	}
	return &iterator{s.iterate(&list{rows})}
}

func sliceFilter(s *state, v value, a *args) value {
	p := s.bind("slice", a, 1, "slices", "fill_with")
	n := s.integer("slice", p[0])
	items := s.sequence(v)
	if n == 0 {
		s.fail("slice: division by zero")
	}
	s.charge(s.multiply(max(n, 0), 64))
	s.items(len(items))
	each, extra := int64(len(items))/max(n, 1), int64(len(items))%max(n, 1)
	var rows []value
	begin := int64(0)
	for i := range max(n, 0) {
		size := each
		if i < extra {
			size++
		}
		row := append([]value(nil), items[begin:begin+size]...)
		begin += size
		if p[1] != missing && p[1] != nil && i >= extra {
			row = append(row, p[1])
		}
		rows = append(rows, &list{row})
	}
	return &iterator{s.iterate(&list{rows})}
}

func mapFilter(s *state, v value, a *args) value {
	if !s.truth(v) {
		return &iterator{func() (value, bool) { return nil, false }}
	}
	var f func(value) value
	if attribute := a.take("attribute"); len(a.pos) == 0 && attribute != missing {
		otherwise := a.take("default")
		s.bind("map", a, 0)
		f = s.attributes(attribute, otherwise)
	} else {
		if attribute != missing {
			a.names, a.named = append(a.names, "attribute"), append(a.named, attribute)
		}
		if len(a.pos) == 0 {
			s.fail("map requires a filter argument")
		}
		id := s.text("map", a.pos[0])
		apply := filters[id]
		if apply == nil {
			s.fail("the filter %q is not supported", id)
		}
		rest := args{a.pos[1:], a.names, a.named}
		f = func(item value) value { return apply(s, item, rest.clone()) }
	}
	items := s.iterate(v)
	return &iterator{func() (value, bool) {
		item, ok := items()
		if !ok {
			return nil, false
		}
		s.step()
		return f(item), true
	}}
}

// clone keeps what a filter takes out of its arguments from the next item's.
func (a *args) clone() *args { c := *a; return &c }

// choose is select, reject and their forms for an attribute.
func choose(id string, byAttribute, keep bool) filter {
	return func(s *state, v value, a *args) value {
		if !s.truth(v) {
			return &iterator{func() (value, bool) { return nil, false }}
		}
		of := func(item value) value { return item }
		pos := a.pos
		if byAttribute {
			if len(pos) == 0 {
				s.fail("%s: missing parameter for attribute name", id)
			}
			of, pos = s.attributes(pos[0], missing), pos[1:]
		}
		holds := s.truth
		if len(pos) > 0 {
			name := s.text(id, pos[0])
			t := tests[name]
			if t == nil {
				s.fail("the test %q is not supported", name)
			}
			rest := args{pos[1:], a.names, a.named}
			holds = func(item value) bool { return t(s, item, rest.clone()) }
		}
		items := s.iterate(v)
		return &iterator{func() (value, bool) {
			for {
				item, ok := items()
				if !ok {
					return nil, false
				}
				s.step()
				if holds(of(item)) == keep {
					return item, true
				}
			}
		}}
	}
}
