package jinja

import "fmt"

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
