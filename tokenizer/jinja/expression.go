package jinja

import "slices"

// expression reads one expression; conditional ones (a if b else c) only where they are allowed.
func (p *parser) expression(conditionals bool) expr {
	p.enter()
	defer func() { p.depth-- }()
	if !conditionals {
		return p.or()
	}
	line := p.current().line
	soft, known := p.soft, len(p.unknown)
	x := p.or()
	for n := 0; p.skipName("if"); n++ {
		p.chain(n)
		p.soft, p.unknown = true, p.unknown[:known]
		c := &conditional{then: x, test: p.or(), line: line}
		if p.skipName("else") {
			c.otherwise = p.expression(true)
		}
		x = c
		line = p.current().line
	}
	p.soft = soft
	return x
}

func (p *parser) chain(n int) {
	if n > maxChain {
		p.fail("more than %d operators in a row", maxChain)
	}
}

// tuple reads expressions up to the end of the tag or bracket; several, or one before a comma, are a tuple.
func (p *parser) tuple(conditionals bool, end string) expr {
	var items []expr
	several := false
	for {
		if len(items) > 0 {
			p.expectOp(",")
		}
		if k := p.current().kind; k == variableEnd || k == blockEnd || p.isOp(")") || end != "" && p.isName(end) {
			break
		}
		items = append(items, p.expression(conditionals))
		if !p.isOp(",") {
			break
		}
		several = true
	}
	if several {
		return &tupleExpr{items}
	}
	if len(items) == 0 {
		p.fail("expected an expression, got %q", p.current())
	}
	return items[0]
}

func (p *parser) or() expr {
	x := p.and()
	for n := 0; p.skipName("or"); n++ {
		p.chain(n)
		x = &logical{true, x, p.and()}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for n := 0; p.skipName("and"); n++ {
		p.chain(n)
		x = &logical{false, x, p.not()}
	}
	return x
}

func (p *parser) not() expr {
	if p.skipName("not") {
		p.enter()
		defer func() { p.depth-- }()
		return &unary{'!', p.not()}
	}
	return p.compare()
}

var comparisons = []string{"==", "!=", "<", "<=", ">", ">="}

func (p *parser) compare() expr {
	first := p.sum()
	var c *compare
	for {
		op := ""
		switch t := p.current(); {
		case t.kind == operatorToken && slices.Contains(comparisons, t.text):
			op = t.text
		case p.isName("in"):
			op = "in"
		case p.isName("not") && p.look().kind == nameToken && p.look().text == "in":
			op = "not in"
			p.at++
		}
		if op == "" {
			break
		}
		p.at++
		if c == nil {
			c = &compare{first: first}
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, p.sum())
	}
	if c == nil {
		return first
	}
	return c
}

func (p *parser) sum() expr {
	x := p.concat()
	for n := 0; p.isOp("+") || p.isOp("-"); n++ {
		p.chain(n)
		op := p.next().text[0]
		x = &binary{op, x, p.concat()}
	}
	return x
}

func (p *parser) concat() expr {
	parts := []expr{p.product()}
	for p.skipOp("~") {
		parts = append(parts, p.product())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return &concat{parts}
}

func (p *parser) product() expr {
	x := p.power()
	for n := 0; p.isOp("*") || p.isOp("/") || p.isOp("//") || p.isOp("%"); n++ {
		p.chain(n)
		text := p.next().text
		op := text[0]
		if text == "//" {
			op = 'D'
		}
		x = &binary{op, x, p.power()}
	}
	return x
}

func (p *parser) power() expr {
	x := p.unary(true)
	for n := 0; p.skipOp("**"); n++ {
		p.chain(n)
		x = &binary{'P', x, p.unary(true)}
	}
	return x
}

func (p *parser) unary(filters bool) expr {
	p.enter()
	defer func() { p.depth-- }()
	var x expr
	switch {
	case p.skipOp("-"):
		x = &unary{'-', p.unary(false)}
	case p.skipOp("+"):
		x = &unary{'+', p.unary(false)}
	default:
		x = p.primary()
	}
	x = p.postfix(x)
	if !filters {
		return x
	}
	for n := 0; ; n++ {
		p.chain(n)
		switch {
		case p.isOp("|"):
			x = p.filters(x, false)
		case p.isName("is"):
			x = p.test(x)
		case p.isOp("("):
			x = p.call(x)
		default:
			return x
		}
	}
}

func (p *parser) primary() expr {
	t := p.next()
	switch t.kind {
	case nameToken:
		switch t.text {
		case "true", "True":
			return &constant{true}
		case "false", "False":
			return &constant{false}
		case "none", "None":
			return &constant{nil}
		}
		n := &name{id: t.text}
		p.names = append(p.names, n)
		return n
	case stringToken:
		text := t.text
		for p.current().kind == stringToken {
			text += p.next().text
		}
		return &constant{text}
	case integerToken:
		return &constant{t.integer}
	case floatToken:
		return &constant{t.float}
	case operatorToken:
		switch t.text {
		case "(":
			if p.skipOp(")") {
				return &tupleExpr{}
			}
			x := p.tuple(true, "")
			p.expectOp(")")
			return x
		case "[":
			items := p.list("]", func() expr { return p.expression(true) })
			return &listExpr{items}
		case "{":
			d := &dictExpr{}
			d.keys = p.list("}", func() expr {
				key := p.expression(true)
				p.expectOp(":")
				d.values = append(d.values, p.expression(true))
				return key
			})
			return d
		}
	}
	if t.kind == eofToken {
		failAt(t.line, "unexpected end of template")
	}
	failAt(t.line, "unexpected %q", t)
	return nil
}

// list reads items up to a closing bracket; a comma may stand before it.
func (p *parser) list(end string, item func() expr) []expr {
	var items []expr
	for !p.isOp(end) {
		if len(items) > 0 {
			p.expectOp(",")
			if p.isOp(end) {
				break
			}
		}
		items = append(items, item())
	}
	p.at++
	return items
}
