package jinja

func (s *state) run(body []stmt) flow {
	for _, st := range body {
		if to := st.exec(s); to != next {
			return to
		}
	}
	return next
}

func (n *data) exec(s *state) flow {
	s.write(n.text)
	return next
}

func (n *output) exec(s *state) flow {
	s.line = n.line
	s.step()
	v := n.x.eval(s)
	if text, ok := v.(string); ok {
		s.write(text)
		return next
	}
	s.line = n.line
	s.write(s.str(v))
	return next
}

func (n *sequence) exec(s *state) flow { return s.run(n.body) }

func (n *ifStmt) exec(s *state) flow {
	for i, test := range n.tests {
		s.line = n.lines[i]
		s.step()
		if s.truth(test.eval(s)) {
			return s.run(n.bodies[i])
		}
	}
	return s.run(n.orElse)
}

func (n *forStmt) exec(s *state) flow {
	s.line = n.line
	iter := n.iter.eval(s)
	if n.recursive {
		s.write(s.recurse(n, s.frame, iter, 0))
		return next
	}
	n.each(s, iter, nil, 0)
	return next
}

// recurse renders a recursive loop over a value, in variables of its own.
func (s *state) recurse(n *forStmt, outer *frame, iter value, depth int) string {
	s.descend()
	defer s.ascend()
	s.items(n.function.slots)
	inner := s.frame
	s.frame = newFrame(n.function.slots, outer)
	text := s.capture(func() {
		n.each(s, iter, func(again value) string { return s.recurse(n, outer, again, depth+1) }, depth)
	})
	s.frame = inner
	return text
}

// each runs the loop's body for every item. The else branch runs where no turn came to the body's end: in Jinja2, unlike
// Python, break and continue do not keep it away.
func (n *forStmt) each(s *state, iter value, again func(value) string, depth int) {
	items := s.iterate(iter)
	if n.test != nil {
		items = n.filtered(s, items)
		iter = &iterator{items}
	}
	l := &loop{items: items, over: iter, again: again, depth0: depth, index0: -1}
	ran := false
	for {
		s.line = n.line
		item, ok := l.advance(s)
		if !ok {
			break
		}
		s.step()
		s.enter(n.scope)
		s.assign(n.target, item)
		if n.usesLoop {
			*s.slot(n.loop) = l
		}
		to := s.run(n.body)
		ran = ran || to == next
		if to == breakLoop {
			break
		}
	}
	s.leave(n.scope)
	if !ran && n.orElse != nil {
		s.enter(n.else_)
		s.run(n.orElse)
		s.leave(n.else_)
	}
}

// filtered keeps the items for which the loop's test holds; it looks at each only when its turn comes, as Jinja2 does.
func (n *forStmt) filtered(s *state, items func() (value, bool)) func() (value, bool) {
	frame := s.frame
	return func() (value, bool) {
		inner := s.frame
		s.frame = frame
		defer func() { s.frame = inner }()
		for {
			item, ok := items()
			if !ok {
				return nil, false
			}
			s.step()
			s.enter(n.testScope)
			s.assign(n.testTarget, item)
			if s.truth(n.test.eval(s)) {
				if n.testTarget.tuple {
					return s.collected(n.testTarget), true
				}
				return item, true
			}
		}
	}
}

// collected reads back what was assigned.
func (s *state) collected(t *target) value {
	if !t.tuple {
		return *s.slot(t.ref)
	}
	out := &tuple{}
	s.items(len(t.items))
	for _, item := range t.items {
		out.items = append(out.items, s.collected(item))
	}
	return out
}

func (s *state) assign(t *target, v value) {
	switch {
	case t.tuple:
		items := s.sequence(v)
		if len(items) != len(t.items) {
			s.fail("%d values to unpack, expected %d", len(items), len(t.items))
		}
		for i, item := range t.items {
			s.assign(item, items[i])
		}
	case t.attr != "":
		(*s.slot(t.ref)).(*namespace).set(s, t.attr, v)
	default:
		*s.slot(t.ref) = v
	}
}

// checkNamespaces holds before an assignment, whatever its value.
func (s *state) checkNamespaces(t *target) {
	for _, item := range t.items {
		s.checkNamespaces(item)
	}
	if t.attr != "" {
		if _, ok := (*s.slot(t.ref)).(*namespace); !ok {
			s.fail("cannot assign the attribute %s: %s is no namespace", t.attr, t.id)
		}
	}
}

func (n *setStmt) exec(s *state) flow {
	s.line = n.line
	s.checkNamespaces(n.target)
	s.assign(n.target, n.x.eval(s))
	return next
}

// captured runs a body in a scope of its own and hands over what it wrote, before the scope is left.
func (s *state) captured(c *scope, body []stmt, then func(text string)) flow {
	s.enter(c)
	to := next
	text := s.capture(func() { to = s.run(body) })
	if to == next {
		then(text)
	}
	s.leave(c)
	return to
}

func (n *setBlock) exec(s *state) flow {
	return s.captured(n.scope, n.body, func(text string) {
		s.line = n.line
		s.checkNamespaces(n.target)
		s.assign(n.target, s.blockFilters(n.filter, text))
	})
}

func (n *filterBlock) exec(s *state) flow {
	return s.captured(n.scope, n.body, func(text string) {
		s.line = n.line
		s.write(s.str(s.blockFilters(n.filter, text)))
	})
}

// blockFilters applies the filters of a block to its text.
func (s *state) blockFilters(f expr, text string) value {
	if f == nil {
		return text
	}
	s.block = append(s.block, text)
	v := f.eval(s)
	s.block = s.block[:len(s.block)-1]
	return v
}

func (n *withStmt) exec(s *state) flow {
	s.line = n.line
	s.enter(n.scope)
	for i, t := range n.targets {
		s.assign(t, n.values[i].eval(s))
	}
	to := s.run(n.body)
	s.leave(n.scope)
	return to
}

func (n *scoped) exec(s *state) flow {
	s.enter(n.scope)
	to := s.run(n.body)
	s.leave(n.scope)
	return to
}

func (n *macroStmt) exec(s *state) flow {
	s.charge(64)
	s.assign(n.target, &macro{n.macro, s.frame})
	return next
}

func (n *callBlock) exec(s *state) flow {
	s.line = n.line
	s.charge(64)
	caller := &macro{n.macro, s.frame}
	if n.generation {
		text := caller.call(s, &args{})
		s.charge(40)
		s.spans = append(s.spans, generated{s.position(), text})
		s.write(text)
		return next
	}
	a := n.call.args.eval(s)
	a.names, a.named = append(a.names, "caller"), append(a.named, caller)
	f := n.call.f.eval(s)
	s.write(s.str(s.call(f, a)))
	return next
}

func (n *jump) exec(*state) flow { return n.to }

func (n *unavailable) exec(s *state) flow {
	failAt(n.line, "%s", n.message)
	return next
}

// call renders the macro.
func (m *macro) call(s *state, a *args) string {
	s.descend()
	defer s.ascend()
	s.items(m.function.slots)
	f := newFrame(m.function.slots, m.frame)
	inner, line := s.frame, s.line
	s.frame = f
	s.enter(m.scope)
	m.bind(s, a)
	text := s.capture(func() { s.run(m.body) })
	s.frame, s.line = inner, line
	return text
}

// bind sets the parameters as runtime.Macro does.
func (m *macro) bind(s *state, a *args) {
	given := a.pos[:min(len(a.pos), len(m.params))]
	explicitCaller := false
	for i, p := range m.params {
		var v value = missing
		if i < len(given) {
			v = given[i]
		} else {
			v = a.take(p.id)
		}
		explicitCaller = explicitCaller || p.id == "caller"
		*s.slot(p.ref) = v
	}
	if m.usesCaller && !explicitCaller {
		v := a.take("caller")
		if v == missing || v == nil {
			v = &undefined{hint: "No caller defined"}
		}
		*s.slot(m.caller) = v
	}
	if m.usesKwargs {
		d := newDict(len(a.names))
		for i, id := range a.names {
			d.set(s, id, a.named[i])
		}
		*s.slot(m.kwargs) = d
	} else if len(a.names) > 0 {
		s.fail("the macro %q takes no keyword argument %q", m.name, a.names[0])
	}
	if m.usesVarargs {
		*s.slot(m.varargs) = &tuple{items: a.pos[len(given):]}
	} else if len(a.pos) > len(given) {
		s.fail("the macro %q takes not more than %d arguments", m.name, len(m.params))
	}
	for i, p := range m.params {
		slot := s.slot(p.ref)
		if *slot != missing {
			continue
		}
		if d := i - (len(m.params) - len(m.defaults)); d >= 0 {
			v := m.defaults[d].eval(s)
			*s.slot(p.ref) = v
			continue
		}
		*slot = &undefined{hint: "the parameter '" + p.id + "' was not provided"}
	}
}
