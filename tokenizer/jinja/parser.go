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

	loopStored int // the line that assigns to the name loop, inside the innermost loop; 0: none

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
