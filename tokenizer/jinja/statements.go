package jinja

import "slices"

// statement reads what stands behind {% up to its end, and the block that it begins.
func (p *parser) statement() stmt {
	t := *p.current()
	if t.kind != nameToken {
		p.fail("tag name expected")
	}
	p.at++
	start := len(p.names)
	switch t.text {
	case "for":
		return p.forLoop(t.line)
	case "if":
		return p.ifBlock(t.line)
	case "set":
		return p.set(t.line)
	case "with":
		return p.with(t.line)
	case "macro":
		return p.macro(t.line)
	case "call":
		return p.callBlock(t.line)
	case "generation":
		m := &macroDef{}
		p.function(m, "endgeneration")
		return &callBlock{macro: m, generation: true, line: t.line}
	case "filter":
		f := p.filters(nil, true)
		s := &filterBlock{filter: f, names: p.namesSince(start), line: t.line}
		s.body = p.hard("endfilter")
		return s
	case "print":
		return p.print(t.line)
	case "autoescape":
		return p.autoescape()
	case "break", "continue":
		if p.loops == 0 {
			failAt(t.line, "%s outside a loop", t.text)
		}
		if t.text == "break" {
			return &jump{breakLoop}
		}
		return &jump{continueLoop}
	case "include", "import", "from", "extends":
		for p.current().kind != blockEnd && p.current().kind != eofToken {
			p.at++
		}
		return &unavailable{message: t.text + ": there is no other template", line: t.line}
	}
	failAt(t.line, "the statement %q is not supported", t.text)
	return nil
}

// hard reads a body in which an unknown filter is an error at once, and its end tag.
func (p *parser) hard(end string) []stmt {
	defer func(soft bool) { p.soft = soft }(p.soft)
	p.soft = false
	body := p.block(end)
	p.at++
	return body
}

func (p *parser) forLoop(line int) stmt {
	stored := p.loopStored
	p.loopStored = 0
	s := &forStmt{line: line, target: p.targets("in", false)}
	if !p.skipName("in") {
		p.unexpected("in")
	}
	start := len(p.names)
	s.iter = p.tuple(false, "recursive")
	s.iterNames = p.namesSince(start)
	if p.skipName("if") {
		start = len(p.names)
		s.test = p.expression(true)
		s.testNames = p.namesSince(start)
		s.testTarget = s.target.clone()
	}
	s.recursive = p.skipName("recursive")
	s.usesLoop = s.recursive
	soft, loops := p.soft, p.loops
	p.soft = false
	if p.loops++; s.recursive {
		p.loops = 1
	}
	start = len(p.names)
	s.body = p.block("endfor", "else")
	s.usesLoop = s.usesLoop || reads(p.names[start:], "loop")
	p.loops = loops
	if p.next().text == "else" {
		if s.recursive {
			p.loops = 0
		}
		s.orElse = p.block("endfor")
		p.at++
	}
	p.soft, p.loops = soft, loops
	if p.loopStored > 0 {
		failAt(p.loopStored, "can't assign to the special variable loop inside a loop")
	}
	p.loopStored = stored
	return s
}

func reads(names []*name, id string) bool {
	return slices.ContainsFunc(names, func(n *name) bool { return n.id == id })
}

func (p *parser) ifBlock(line int) stmt {
	s := &ifStmt{}
	defer func(soft bool) { p.soft = soft }(p.soft)
	p.soft = true
	for {
		start := len(p.names)
		s.tests = append(s.tests, p.tuple(false, ""))
		s.names = append(s.names, p.namesSince(start))
		s.lines = append(s.lines, line)
		s.bodies = append(s.bodies, p.block("elif", "else", "endif"))
		switch t := p.next(); t.text {
		case "elif":
			line = t.line
			continue
		case "else":
			s.orElse = p.block("endif")
			p.at++
		}
		return s
	}
}

func (p *parser) set(line int) stmt {
	to := p.targets("", true)
	start := len(p.names)
	if p.skipOp("=") {
		x := p.tuple(true, "")
		return &setStmt{target: to, x: x, names: p.namesSince(start), line: line}
	}
	s := &setBlock{target: to, line: line}
	if p.isOp("|") {
		s.filter = p.filters(nil, false)
		s.names = p.namesSince(start)
	}
	s.body = p.hard("endset")
	return s
}

func (p *parser) with(line int) stmt {
	s := &withStmt{line: line}
	start := len(p.names)
	for p.current().kind != blockEnd {
		if len(s.targets) > 0 {
			p.expectOp(",")
		}
		stored := p.loopStored
		s.targets = append(s.targets, p.targets("", false))
		p.loopStored = stored
		p.expectOp("=")
		s.values = append(s.values, p.expression(true))
	}
	s.names = p.namesSince(start)
	s.body = p.hard("endwith")
	return s
}

func (p *parser) autoescape() stmt {
	if c, ok := p.expression(true).(*constant); !ok || c.v != false {
		p.fail("autoescape with anything but false is not supported")
	}
	s := &scoped{}
	s.body = p.hard("endautoescape")
	return s
}

func (p *parser) print(line int) stmt {
	var body []stmt
	for p.current().kind != blockEnd {
		if len(body) > 0 {
			p.expectOp(",")
		}
		start := len(p.names)
		x := p.expression(true)
		body = append(body, &output{x, p.namesSince(start), line})
	}
	return &sequence{body}
}

// sequence is several statements in the place of one.
type sequence struct{ body []stmt }

func (p *parser) macro(line int) stmt {
	id := p.expectKind(nameToken).text
	m := &macroDef{name: id}
	p.signature(m)
	p.function(m, "endmacro")
	return &macroStmt{macro: m, target: &target{id: id}, line: line}
}

func (p *parser) callBlock(line int) stmt {
	m := &macroDef{}
	if p.isOp("(") {
		p.signature(m)
	}
	start := len(p.names)
	c, ok := p.expression(true).(*call)
	if !ok {
		failAt(line, "call: expected a call")
	}
	s := &callBlock{macro: m, call: c, names: p.namesSince(start), line: line}
	p.function(m, "endcall")
	return s
}

func (p *parser) signature(m *macroDef) {
	p.expectOp("(")
	start := len(p.names)
	for !p.isOp(")") {
		if len(m.params) > 0 {
			p.expectOp(",")
		}
		id := p.expectKind(nameToken).text
		checkTarget(p, id)
		if slices.ContainsFunc(m.params, func(t *target) bool { return t.id == id }) {
			p.fail("the parameter %s stands twice", id)
		}
		m.params = append(m.params, &target{id: id})
		if p.skipOp("=") {
			m.defaults = append(m.defaults, p.expression(true))
		} else if len(m.defaults) > 0 {
			p.fail("non-default argument follows default argument")
		}
	}
	p.at++
	m.defaultNames = p.namesSince(start)
}

// function reads the body of a macro or of a call block.
func (p *parser) function(m *macroDef, end string) {
	loops := p.loops
	p.loops = 0
	start := len(p.names)
	m.body = p.hard(end)
	body := p.names[start:]
	has := func(id string) bool { return slices.ContainsFunc(m.params, func(t *target) bool { return t.id == id }) }
	m.usesCaller = reads(body, "caller")
	required := m.params[:len(m.params)-len(m.defaults)]
	if m.usesCaller && slices.ContainsFunc(required, func(t *target) bool { return t.id == "caller" }) {
		p.fail(`the parameter "caller" must be omitted or be given a default`)
	}
	m.usesKwargs = reads(body, "kwargs") && !has("kwargs")
	m.usesVarargs = reads(body, "varargs") && !has("varargs")
	p.loops = loops
}
