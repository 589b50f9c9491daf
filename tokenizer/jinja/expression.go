package jinja

import "fmt"

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

func (p *parser) compare() expr {
	first := p.sum()
	var c *compare
	for {
		op := ""
		switch t := p.current(); {
		case t.kind == operatorToken && (t.text == "==" || t.text == "!=" || t.text == "<" || t.text == "<=" || t.text == ">" || t.text == ">="):
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

func (p *parser) postfix(x expr) expr {
	for n := 0; ; n++ {
		p.chain(n)
		switch {
		case p.skipOp("."):
			switch t := p.next(); t.kind {
			case nameToken:
				x = &getattr{x, t.text}
			case integerToken:
				x = &getitem{x, &constant{t.integer}}
			default:
				failAt(t.line, "expected name or number")
			}
		case p.skipOp("["):
			x = p.subscript(x)
		case p.isOp("("):
			x = p.call(x)
		default:
			return x
		}
	}
}

func (p *parser) subscript(x expr) expr {
	if p.isOp("]") {
		p.at++
		return &getitem{x, &tupleExpr{}}
	}
	var start, stop, step expr
	slice := false
	if !p.isOp(":") {
		start = p.expression(true)
	}
	part := func() (e expr) {
		if p.skipOp(":") {
			slice = true
			if !p.isOp("]") && !p.isOp(",") && !p.isOp(":") {
				e = p.expression(true)
			}
		}
		return e
	}
	stop = part()
	step = part()
	if slice {
		if p.isOp(",") {
			p.fail("several slices in one subscript are not supported")
		}
		p.expectOp("]")
		return &sliceExpr{x, start, stop, step}
	}
	items := []expr{start}
	for p.skipOp(",") {
		if p.isOp("]") {
			break
		}
		items = append(items, p.expression(true))
	}
	p.expectOp("]")
	if len(items) == 1 {
		return &getitem{x, start}
	}
	return &getitem{x, &tupleExpr{items}}
}

func (p *parser) arguments() callArgs {
	var a callArgs
	p.expectOp("(")
	for comma := false; !p.isOp(")"); comma = true {
		if comma {
			p.expectOp(",")
			if p.isOp(")") {
				break
			}
		}
		ordered := true
		switch {
		case p.skipOp("*"):
			ordered = a.spread == nil && a.keywords == nil
			a.spread = p.expression(true)
		case p.skipOp("**"):
			ordered = a.keywords == nil
			a.keywords = p.expression(true)
		case p.current().kind == nameToken && p.look().kind == operatorToken && p.look().text == "=":
			ordered = a.keywords == nil
			a.names = append(a.names, p.next().text)
			p.at++
			a.named = append(a.named, p.expression(true))
		default:
			ordered = a.spread == nil && a.keywords == nil && len(a.names) == 0
			a.pos = append(a.pos, p.expression(true))
		}
		if !ordered {
			p.fail("invalid syntax for function call expression")
		}
	}
	p.at++
	return a
}

func (p *parser) call(f expr) expr {
	line := p.current().line
	return &call{f, p.arguments(), line}
}

func (p *parser) dotted() token {
	t := p.expectKind(nameToken)
	for p.skipOp(".") {
		t.text += "." + p.expectKind(nameToken).text
	}
	return t
}

// filters reads |name(…) as often as it stands; bare: the first without its bar.
func (p *parser) filters(x expr, bare bool) expr {
	for n := 0; bare || p.isOp("|"); n++ {
		p.chain(n)
		if !bare {
			p.at++
		}
		bare = false
		t := p.dotted()
		f := &filterExpr{x: x, name: t.text, f: filters[t.text], line: t.line}
		if f.f == nil && !p.soft {
			p.unknown = append(p.unknown, &Error{t.line, fmt.Sprintf("the filter %q is not supported", t.text)})
		}
		if p.isOp("(") {
			f.args = p.arguments()
		}
		x = f
	}
	return x
}

func (p *parser) test(x expr) expr {
	p.at++
	negated := p.skipName("not")
	t := p.dotted()
	e := &testExpr{x: x, name: t.text, f: tests[t.text], line: t.line}
	if e.f == nil && !p.soft {
		p.unknown = append(p.unknown, &Error{t.line, fmt.Sprintf("the test %q is not supported", t.text)})
	}
	switch c := p.current(); {
	case p.isOp("("):
		e.args = p.arguments()
	case p.isName("else", "or", "and"):
	case p.isName("is"):
		p.fail("tests with is cannot be chained")
	case c.kind == nameToken || c.kind == stringToken || c.kind == integerToken || c.kind == floatToken || p.isOp("[") || p.isOp("{"):
		e.args.pos = []expr{p.postfix(p.primary())}
	}
	if negated {
		return &unary{'!', e}
	}
	return e
}
