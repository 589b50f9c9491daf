package jinja

// resolve gives every name its variable and every scope what entering it does.

func (y *symbols) names(list []*name) {
	for _, n := range list {
		n.ref = y.ref(n.id)
	}
}

func (y *symbols) target(t *target) {
	for _, item := range t.items {
		y.target(item)
	}
	if !t.tuple {
		t.ref = y.ref(t.id)
	}
}

// inner is a scope in the same function.
func (y *symbols) inner() *symbols { return newSymbols(y, y.function) }

// nested is a scope in a function of its own.
func (y *symbols) nested() (*symbols, *function) {
	f := &function{depth: y.function.depth + 1}
	return newSymbols(y, f), f
}

func (y *symbols) resolve(body []stmt) {
	for _, s := range body {
		switch s := s.(type) {
		case *output:
			y.names(s.names)
		case *sequence:
			y.resolve(s.body)
		case *ifStmt:
			for i := range s.bodies {
				y.names(s.names[i])
				y.resolve(s.bodies[i])
			}
			y.resolve(s.orElse)
		case *forStmt:
			y.resolveFor(s)
		case *setStmt:
			y.names(s.names)
			y.target(s.target)
		case *setBlock:
			y.target(s.target)
			inner := y.inner()
			inner.analyze(s.body)
			inner.loadAll(s.names)
			inner.names(s.names)
			inner.resolve(s.body)
			s.scope = inner.scope()
		case *withStmt:
			y.names(s.names)
			inner := y.inner()
			for _, t := range s.targets {
				inner.storeTarget(t, true)
			}
			inner.analyze(s.body)
			for _, t := range s.targets {
				inner.target(t)
			}
			inner.resolve(s.body)
			s.scope = inner.scope()
		case *filterBlock:
			inner := y.inner()
			inner.analyze(s.body)
			inner.loadAll(s.names)
			inner.names(s.names)
			inner.resolve(s.body)
			s.scope = inner.scope()
		case *scoped:
			inner := y.inner()
			inner.analyze(s.body)
			inner.resolve(s.body)
			s.scope = inner.scope()
		case *macroStmt:
			y.target(s.target)
			y.resolveMacro(s.macro)
		case *callBlock:
			y.names(s.names)
			y.resolveMacro(s.macro)
		}
	}
}

func (y *symbols) resolveFor(s *forStmt) {
	y.names(s.iterNames)
	outer := y
	body, f := y.inner(), y.function
	if s.recursive {
		body, f = y.nested()
		s.function = f
		outer = newSymbols(y, f) // where the test and the else branch stand
	}
	if s.usesLoop {
		body.declare("loop")
	}
	body.storeTarget(s.target, true)
	body.analyze(s.body)
	body.target(s.target)
	if s.usesLoop {
		s.loop = body.ref("loop")
	}
	body.resolve(s.body)
	s.scope = body.scope()
	if s.test != nil {
		test := outer.inner()
		test.storeTarget(s.testTarget, true)
		test.loadAll(s.testNames)
		test.target(s.testTarget)
		test.names(s.testNames)
		s.testScope = test.scope()
	}
	if s.orElse != nil {
		orElse := outer.inner()
		orElse.analyze(s.orElse)
		orElse.resolve(s.orElse)
		s.else_ = orElse.scope()
	}
}

func (y *symbols) resolveMacro(m *macroDef) {
	inner, f := y.nested()
	m.function = f
	for _, t := range m.params {
		inner.declare(t.id)
	}
	for _, special := range []struct {
		used bool
		name string
		ref  *ref
	}{{m.usesCaller, "caller", &m.caller}, {m.usesKwargs, "kwargs", &m.kwargs}, {m.usesVarargs, "varargs", &m.varargs}} {
		if special.used {
			if !inner.refs[special.name] {
				inner.declare(special.name)
			}
			*special.ref = inner.ref(special.name)
		}
	}
	inner.loadAll(m.defaultNames)
	inner.analyze(m.body)
	for _, t := range m.params {
		inner.target(t)
	}
	inner.names(m.defaultNames)
	inner.resolve(m.body)
	m.scope = inner.scope()
}
