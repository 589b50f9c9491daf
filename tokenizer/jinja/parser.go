package jinja

import (
	"slices"
	"strings"
)

// Bounds of a template's nesting: what Python's own recursion limit leaves to Jinja2 is less.
const (
	maxNesting = 200  // brackets and statements one in the other
	maxChain   = 1000 // operators, attributes and filters in a row
)

// parser builds the tree as jinja2/parser.py does.
type parser struct {
	tokens []token
	at     int
	depth  int
	names  []*name // every name that an expression reads, in the order of the source
	soft   bool    // an unknown filter or test matters only when it is reached
	loops  int     // loops around this statement, in this function

	unknown []*Error // filters and tests that matter at once
}

func (p *parser) current() *token { return &p.tokens[p.at] }

func (p *parser) look() *token { return &p.tokens[min(p.at+1, len(p.tokens)-1)] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != eofToken {
		p.at++
	}
	return t
}

func (p *parser) isOp(op string) bool {
	t := p.current()
	return t.kind == operatorToken && t.text == op
}

func (p *parser) isName(names ...string) bool {
	t := p.current()
	return t.kind == nameToken && slices.Contains(names, t.text)
}

func (p *parser) skipOp(op string) bool {
	if p.isOp(op) {
		p.at++
		return true
	}
	return false
}

func (p *parser) skipName(id string) bool {
	if p.isName(id) {
		p.at++
		return true
	}
	return false
}

func (p *parser) fail(format string, args ...any) { failAt(p.current().line, format, args...) }

func (p *parser) unexpected(want string) {
	if p.current().kind == eofToken {
		p.fail("unexpected end of template, expected %q", want)
	}
	p.fail("expected %q, got %q", want, p.current())
}

func (p *parser) expectOp(op string) {
	if !p.skipOp(op) {
		p.unexpected(op)
	}
}

func (p *parser) expectKind(kind tokenKind) token {
	if p.current().kind != kind {
		p.unexpected(token{kind: kind, text: "name"}.String())
	}
	return p.next()
}

func (p *parser) enter() {
	if p.depth++; p.depth > maxNesting {
		p.fail("nested more than %d deep", maxNesting)
	}
}

// namesSince are the names read since a position of p.names.
func (p *parser) namesSince(start int) []*name { return slices.Clone(p.names[start:]) }

// parse reads the whole template.
func (p *parser) parse() []stmt {
	body := p.statements()
	if p.current().kind != eofToken {
		p.fail("unexpected %q", p.current())
	}
	if len(p.unknown) > 0 {
		panic(p.unknown[0])
	}
	return body
}

// statements reads up to a statement named end, whose name is then the current token.
func (p *parser) statements(end ...string) []stmt {
	p.enter()
	defer func() { p.depth-- }()
	var body []stmt
	for {
		t := p.next()
		switch t.kind {
		case eofToken:
			if len(end) > 0 {
				failAt(t.line, "unexpected end of template: %s is missing", strings.Join(end, " or "))
			}
			return body
		case dataToken:
			body = append(body, &data{t.text})
		case variableBegin:
			start := len(p.names)
			x := p.tuple(true, "")
			body = append(body, &output{x, p.namesSince(start), t.line})
			p.expectKind(variableEnd)
		case blockBegin:
			if p.isName(end...) {
				return body
			}
			if s := p.statement(); s != nil {
				body = append(body, s)
			}
			p.expectKind(blockEnd)
		}
	}
}

// block reads a body up to its end tag and passes that.
func (p *parser) block(end ...string) []stmt {
	p.skipOp(":")
	p.expectKind(blockEnd)
	return p.statements(end...)
}

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
		s.targets = append(s.targets, p.targets("", false))
		p.expectOp("=")
		s.values = append(s.values, p.expression(true))
	}
	s.names = p.namesSince(start)
	s.body = p.hard("endwith")
	return s
}

func (p *parser) autoescape() stmt {
	start := len(p.names)
	x := p.expression(true)
	if c, ok := x.(*constant); !ok || c.v != false {
		p.fail("autoescape with anything but false is not supported")
	}
	s := &scoped{names: p.namesSince(start)}
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
	if m.usesCaller && has("caller") && !slices.ContainsFunc(m.params[len(m.params)-len(m.defaults):], func(t *target) bool { return t.id == "caller" }) {
		p.fail(`the parameter "caller" must be omitted or be given a default`)
	}
	m.usesKwargs = reads(body, "kwargs") && !has("kwargs")
	m.usesVarargs = reads(body, "varargs") && !has("varargs")
	p.loops = loops
}

// targets reads what an assignment writes to, up to a name that ends it.
func (p *parser) targets(end string, namespaces bool) *target {
	var items []*target
	tuple := false
	for {
		if len(items) > 0 {
			p.expectOp(",")
		}
		if k := p.current().kind; k == blockEnd || p.isOp(")") || end != "" && p.isName(end) {
			break
		}
		items = append(items, p.oneTarget(namespaces))
		if !p.isOp(",") {
			break
		}
		tuple = true
	}
	if tuple {
		return &target{items: items, tuple: true}
	}
	if len(items) == 0 {
		p.fail("expected a name to assign to, got %q", p.current())
	}
	return items[0]
}

func (p *parser) oneTarget(namespaces bool) *target {
	if p.skipOp("(") {
		p.enter()
		defer func() { p.depth-- }()
		t := p.targets("", false)
		p.expectOp(")")
		return t
	}
	id := p.expectKind(nameToken).text
	checkTarget(p, id)
	t := &target{id: id}
	if namespaces && p.skipOp(".") {
		t.attr = p.expectKind(nameToken).text
	}
	return t
}

func checkTarget(p *parser, id string) {
	switch id {
	case "true", "false", "none", "True", "False", "None":
		p.fail("can't assign to %q", id)
	}
}

func (t *target) clone() *target {
	c := &target{id: t.id, attr: t.attr, tuple: t.tuple}
	for _, item := range t.items {
		c.items = append(c.items, item.clone())
	}
	return c
}
