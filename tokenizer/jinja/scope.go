package jinja

import "maps"

// Jinja2 compiles a template to Python functions whose local variables are the template's names. This is its
// idtracking.py: which variable a name means, and what a scope's variables hold when it is entered.

// function is a frame of variables: the template, a macro, a call block's body or a recursive loop.
type function struct {
	depth int
	slots int
}

// ref is a variable: up frames outward, then a slot.
type ref struct{ up, slot int }

// place is a variable as the resolver knows it.
type place struct {
	function *function
	slot     int
}

type loadKind uint8

const (
	parameter  loadKind = iota // set by the scope itself
	resolved                   // from the variables given to the template
	alias                      // a copy of an outer variable
	undefined_                 // nothing yet
)

// load sets a variable when a scope is entered.
type load struct {
	kind loadKind
	slot int
	name string // of resolved
	from ref    // of alias
}

// scope is what entering does; leaving empties the same slots.
type scope struct{ loads []load }

// symbols are the names of one scope. A branch of an if works on a copy, whose slots are shared.
type symbols struct {
	parent   *symbols
	function *function
	slots    map[string]int // every name ever defined here
	refs     map[string]bool
	loads    map[string]symbolLoad
	stores   map[string]bool
	order    *[]string
}

type symbolLoad struct {
	kind loadKind
	from place
}

func newSymbols(parent *symbols, f *function) *symbols {
	return &symbols{parent: parent, function: f, slots: map[string]int{}, refs: map[string]bool{}, loads: map[string]symbolLoad{},
		stores: map[string]bool{}, order: new([]string)}
}

func (y *symbols) copy() *symbols {
	c := *y
	c.refs, c.loads, c.stores = maps.Clone(y.refs), maps.Clone(y.loads), maps.Clone(y.stores)
	return &c
}

func (y *symbols) define(id string, l symbolLoad) {
	if _, ok := y.slots[id]; !ok {
		y.slots[id] = y.function.slots
		y.function.slots++
		*y.order = append(*y.order, id)
	}
	y.refs[id] = true
	y.loads[id] = l
}

func (y *symbols) find(id string) (place, bool) {
	for ; y != nil; y = y.parent {
		if y.refs[id] {
			return place{y.function, y.slots[id]}, true
		}
	}
	return place{}, false
}

func (y *symbols) store(id string) {
	y.stores[id] = true
	if y.refs[id] {
		return
	}
	if outer, ok := y.parent.find(id); ok {
		y.define(id, symbolLoad{alias, outer})
		return
	}
	y.define(id, symbolLoad{kind: undefined_})
}

func (y *symbols) declare(id string) {
	y.stores[id] = true
	y.define(id, symbolLoad{kind: parameter})
}

func (y *symbols) load(id string) {
	if _, ok := y.find(id); !ok {
		y.define(id, symbolLoad{kind: resolved})
	}
}

// merge takes over what the branches of an if define: a name stored in some of them has its outer value in the others.
func (y *symbols) merge(branches []*symbols) {
	stored := map[string]bool{}
	for _, b := range branches {
		for id := range b.stores {
			if !y.stores[id] {
				stored[id] = true
			}
		}
	}
	for _, b := range branches {
		maps.Copy(y.refs, b.refs)
		maps.Copy(y.loads, b.loads)
		maps.Copy(y.stores, b.stores)
	}
	for id := range stored {
		if outer, ok := y.parent.find(id); ok {
			y.loads[id] = symbolLoad{alias, outer}
		} else {
			y.loads[id] = symbolLoad{kind: resolved}
		}
	}
}

func (y *symbols) loadAll(names []*name) {
	for _, n := range names {
		y.load(n.id)
	}
}

func (y *symbols) storeTarget(t *target, param bool) {
	switch {
	case t.tuple:
		for _, item := range t.items {
			y.storeTarget(item, param)
		}
	case t.attr != "":
		y.load(t.id)
	case param:
		y.declare(t.id)
	default:
		y.store(t.id)
	}
}

// analyze visits the statements of one scope; it stops at scopes inside.
func (y *symbols) analyze(body []stmt) {
	for _, s := range body {
		switch s := s.(type) {
		case *output:
			y.loadAll(s.names)
		case *sequence:
			y.analyze(s.body)
		case *ifStmt:
			y.analyzeIf(s, 0)
		case *forStmt:
			y.loadAll(s.iterNames)
		case *setStmt:
			y.loadAll(s.names)
			y.storeTarget(s.target, false)
		case *setBlock:
			y.storeTarget(s.target, false)
		case *withStmt:
			y.loadAll(s.names)
		case *filterBlock:
			y.loadAll(s.names)
		case *macroStmt:
			y.store(s.macro.name)
		case *callBlock:
			y.loadAll(s.names)
		}
	}
}

// analyzeIf visits one test and its branch; the following elif branches are siblings that each stand alone.
func (y *symbols) analyzeIf(s *ifStmt, _ int) {
	y.loadAll(s.names[0])
	branch := func(visit func(*symbols)) *symbols {
		c := y.copy()
		visit(c)
		return c
	}
	body := branch(func(c *symbols) { c.analyze(s.bodies[0]) })
	elifs := branch(func(c *symbols) {
		for i := 1; i < len(s.bodies); i++ {
			c.loadAll(s.names[i])
			inner := c.copy()
			inner.analyze(s.bodies[i])
			c.merge([]*symbols{inner, c.copy(), c.copy()})
		}
	})
	orElse := branch(func(c *symbols) { c.analyze(s.orElse) })
	y.merge([]*symbols{body, elifs, orElse})
}

// scope is what entering these symbols' scope does.
func (y *symbols) scope() *scope {
	s := &scope{}
	for _, id := range *y.order {
		if !y.refs[id] {
			continue
		}
		l := y.loads[id]
		out := load{kind: l.kind, slot: y.slots[id], name: id}
		if l.kind == alias {
			out.from = y.relative(l.from)
		}
		s.loads = append(s.loads, out)
	}
	return s
}

func (y *symbols) relative(p place) ref { return ref{y.function.depth - p.function.depth, p.slot} }

func (y *symbols) ref(id string) ref {
	p, ok := y.find(id)
	if !ok {
		panic("jinja: the name " + id + " is in no scope") // the resolver visits what the evaluator reads
	}
	return y.relative(p)
}
