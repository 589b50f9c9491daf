package jinja

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
	} else if id == "loop" && p.loopStored == 0 {
		p.loopStored = p.current().line
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
