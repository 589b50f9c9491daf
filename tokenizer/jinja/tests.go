package jinja

import "math"

type test func(s *state, v value, a *args) bool

// tests are those of jinja2/tests.py.
var tests map[string]test

func init() {
	kind := func(is func(s *state, v value) bool) test {
		return func(s *state, v value, a *args) bool {
			s.bind("test", a, 0)
			return is(s, v)
		}
	}
	compared := func(op string) test {
		return func(s *state, v value, a *args) bool { return s.compare(op, v, s.bind("test", a, 1, "*other")[0]) }
	}
	equal, unequal := compared("=="), compared("!=")
	less, lessEqual, greater, greaterEqual := compared("<"), compared("<="), compared(">"), compared(">=")
	tests = map[string]test{
		"odd": kind(func(s *state, v value) bool { return s.modulo(v, int64(2)) == 1 }), "even": kind(func(s *state, v value) bool { return s.modulo(v, int64(2)) == 0 }),
		"divisibleby": func(s *state, v value, a *args) bool { return s.modulo(v, s.bind("divisibleby", a, 1, "num")[0]) == 0 },
		"defined":     kind(func(_ *state, v value) bool { return !isUndefined(v) }),
		"undefined":   kind(func(_ *state, v value) bool { return isUndefined(v) }),
		"filter":      kind(func(s *state, v value) bool { return filters[s.text("filter", v)] != nil }),
		"test":        kind(func(s *state, v value) bool { return tests[s.text("test", v)] != nil }),
		"none":        kind(func(_ *state, v value) bool { return v == nil }),
		"boolean":     kind(func(_ *state, v value) bool { _, ok := v.(bool); return ok }),
		"false":       kind(func(_ *state, v value) bool { return v == false }),
		"true":        kind(func(_ *state, v value) bool { return v == true }),
		"integer":     kind(func(_ *state, v value) bool { _, ok := v.(int64); return ok }),
		"float":       kind(func(_ *state, v value) bool { _, ok := v.(float64); return ok }),
		"number":      kind(func(_ *state, v value) bool { _, ok := number(v); return ok }),
		"string":      kind(func(_ *state, v value) bool { _, ok := text(v); return ok }),
		"mapping":     kind(func(_ *state, v value) bool { _, ok := v.(*dict); return ok }),
		"lower":       kind(func(s *state, v value) bool { return oneCase(s.str(v), false) }),
		"upper":       kind(func(s *state, v value) bool { return oneCase(s.str(v), true) }),
		"sequence":    kind(isSequence), "iterable": kind(isIterable),
		"callable": kind(func(_ *state, v value) bool {
			switch v.(type) {
			case *builtin, *macro, *loop, *undefined:
				return true
			}
			return false
		}),
		"escaped": kind(func(_ *state, v value) bool { _, ok := v.(markup); return ok }),
		"sameas":  func(s *state, v value, a *args) bool { return s.same(v, s.bind("sameas", a, 1, "other")[0]) },
		"in":      func(s *state, v value, a *args) bool { return s.contains(s.bind("in", a, 1, "seq")[0], v) },
		"==":      equal, "eq": equal, "equalto": equal, "!=": unequal, "ne": unequal, "<": less, "lt": less, "lessthan": less, "<=": lessEqual, "le": lessEqual,
		">": greater, "gt": greater, "greaterthan": greater, ">=": greaterEqual, "ge": greaterEqual,
	}
}

func isUndefined(v value) bool {
	_, ok := v.(*undefined)
	return ok
}

// modulo is v % n of numbers.
func (s *state) modulo(v, n value) float64 {
	if _, ok := text(v); ok {
		s.fail("a number is needed, not a string")
	}
	f, ok := number(s.arithmetic('%', v, n))
	if !ok {
		return math.NaN()
	}
	return f
}

// isSequence: it has a length and items by index.
func isSequence(_ *state, v value) bool {
	switch v.(type) {
	case string, markup, *list, *tuple, *dict, *span:
		return true
	}
	return false
}

func isIterable(_ *state, v value) bool {
	switch v.(type) {
	case string, markup, *list, *tuple, *dict, *span, *dictView, *iterator, *undefined, *loop:
		return true
	}
	return false
}

// same is Python's is. Of equal strings and numbers it depends on what the interpreter keeps once.
func (s *state) same(a, b value) bool {
	switch a.(type) {
	case nil, bool:
		return a == b
	case string, markup, int64, float64:
		if typeName(a) == typeName(b) && s.equal(a, b) {
			s.fail("sameas of two equal values of type %s is not supported: Python's answer depends on the interpreter", typeName(a))
		}
		return false
	}
	return a == b
}
