package jinja

import "strings"

func (n *constant) eval(*state) value { return n.v }

func (n *name) eval(s *state) value {
	s.step()
	v := *s.slot(n.ref)
	if v == missing {
		return &undefined{name: n.id}
	}
	return v
}

func (s *state) evalAll(list []expr) []value {
	s.items(len(list))
	out := make([]value, len(list))
	for i, x := range list {
		out[i] = x.eval(s)
	}
	return out
}

func (n *tupleExpr) eval(s *state) value { return &tuple{items: s.evalAll(n.items)} }
func (n *listExpr) eval(s *state) value  { return &list{s.evalAll(n.items)} }

func (n *dictExpr) eval(s *state) value {
	d := newDict(len(n.keys))
	s.charge(48)
	for i := range n.keys {
		key := n.keys[i].eval(s)
		d.set(s, key, n.values[i].eval(s))
	}
	return d
}

func (n *unary) eval(s *state) value {
	s.step()
	v := n.x.eval(s)
	if n.op == '!' {
		return !s.truth(v)
	}
	s.defined(v)
	if i, ok := integer(v); ok {
		if n.op == '-' {
			return s.subtract(0, i)
		}
		return i
	}
	f, ok := v.(float64)
	if !ok {
		s.fail("bad operand type for unary %c: %q", n.op, typeName(v))
	}
	if n.op == '-' {
		return -f
	}
	return f
}

// defined fails where v is undefined.
func (s *state) defined(v value) {
	if u, ok := v.(*undefined); ok {
		s.fail("%s", u.message())
	}
}

func (n *binary) eval(s *state) value {
	s.step()
	left := n.left.eval(s)
	return s.arithmetic(n.op, left, n.right.eval(s))
}

func (n *logical) eval(s *state) value {
	left := n.left.eval(s)
	if s.truth(left) == n.or {
		return left
	}
	return n.right.eval(s)
}

func (n *compare) eval(s *state) value {
	left := n.first.eval(s)
	for i, op := range n.ops {
		s.step()
		right := n.rest[i].eval(s)
		if !s.compare(op, left, right) {
			return false
		}
		left = right
	}
	return true
}

func (n *concat) eval(s *state) value {
	var b strings.Builder
	for _, part := range n.parts {
		text := s.str(part.eval(s))
		s.charge(2 * int64(len(text)))
		b.WriteString(text)
	}
	return b.String()
}

func (n *conditional) eval(s *state) value {
	s.step()
	if s.truth(n.test.eval(s)) {
		return n.then.eval(s)
	}
	if n.otherwise != nil {
		return n.otherwise.eval(s)
	}
	return &undefined{hint: "the inline if-expression evaluated to false and no else section was defined"}
}

func (n *getattr) eval(s *state) value {
	s.step()
	return s.getattr(n.x.eval(s), n.attr)
}

func (n *getitem) eval(s *state) value {
	s.step()
	x := n.x.eval(s)
	return s.getitem(x, n.index.eval(s))
}

func (n *sliceExpr) eval(s *state) value {
	s.step()
	x := n.x.eval(s)
	var parts [3]value
	for i, e := range []expr{n.start, n.stop, n.step} {
		if e != nil {
			parts[i] = e.eval(s)
		}
	}
	return s.slice(x, parts)
}

func (n *call) eval(s *state) value {
	s.step()
	f := n.f.eval(s)
	a := n.args.eval(s)
	s.line = n.line
	return s.call(f, a)
}

func (n *filterExpr) eval(s *state) value {
	s.step()
	var v value
	if n.x == nil {
		v = s.block[len(s.block)-1]
	} else {
		v = n.x.eval(s)
	}
	a := n.args.eval(s)
	s.line = n.line
	if n.f == nil {
		s.fail("the filter %q is not supported", n.name)
	}
	return n.f(s, v, a)
}

func (n *testExpr) eval(s *state) value {
	s.step()
	v := n.x.eval(s)
	a := n.args.eval(s)
	s.line = n.line
	if n.f == nil {
		s.fail("the test %q is not supported", n.name)
	}
	return n.f(s, v, a)
}

// args are the arguments of one call.
type args struct {
	pos   []value
	names []string
	named []value
}

func (c *callArgs) eval(s *state) *args {
	a := &args{}
	if len(c.pos) > 0 {
		a.pos = s.evalAll(c.pos)
	}
	if len(c.names) > 0 {
		a.names, a.named = append([]string(nil), c.names...), s.evalAll(c.named)
	}
	if c.spread != nil {
		a.pos = append(a.pos, s.sequence(c.spread.eval(s))...)
	}
	if c.keywords != nil {
		d, ok := c.keywords.eval(s).(*dict)
		if !ok {
			s.fail("the argument after ** must be a mapping")
		}
		s.items(len(d.keys))
		for i, key := range d.keys {
			id, ok := text(key)
			if !ok {
				s.fail("keywords must be strings")
			}
			a.names, a.named = append(a.names, id), append(a.named, d.values[i])
		}
	}
	for i, id := range a.names {
		for _, other := range a.names[:i] {
			s.step()
			if id == other {
				s.fail("the keyword argument %q is given twice", id)
			}
		}
	}
	return a
}

// take removes a keyword argument and returns it, or missing.
func (a *args) take(id string) value {
	for i, n := range a.names {
		if n == id {
			v := a.named[i]
			a.names = append(a.names[:i:i], a.names[i+1:]...)
			a.named = append(a.named[:i:i], a.named[i+1:]...)
			return v
		}
	}
	return missing
}

// bind returns the arguments of a function with these parameters, missing where one is not given. A name that begins with *
// takes no keyword. The first required ones must be there.
func (s *state) bind(f string, a *args, required int, names ...string) []value {
	if len(a.pos) > len(names) {
		s.fail("%s takes at most %d arguments, got %d", f, len(names), len(a.pos))
	}
	out := make([]value, len(names))
	for i := range out {
		out[i] = missing
	}
	copy(out, a.pos)
	for i, id := range a.names {
		at := -1
		for j, n := range names {
			if n == id {
				at = j
			}
		}
		if at < 0 {
			s.fail("%s takes no keyword argument %q", f, id)
		}
		if out[at] != missing {
			s.fail("%s: %q is given twice", f, id)
		}
		out[at] = a.named[i]
	}
	for i := range required {
		if out[i] == missing {
			s.fail("%s: the argument %q is missing", f, strings.TrimPrefix(names[i], "*"))
		}
	}
	return out
}

// call calls a value.
func (s *state) call(f value, a *args) value {
	switch f := f.(type) {
	case *builtin:
		return f.call(s, a)
	case *macro:
		return f.call(s, a)
	case *loop:
		p := s.bind("loop", a, 1, "iterable")
		if f.again == nil {
			s.fail("the loop must have the 'recursive' marker to be called recursively")
		}
		return f.again(p[0])
	case *undefined:
		s.defined(f)
	}
	s.fail("%q object is not callable", typeName(f))
	return nil
}
