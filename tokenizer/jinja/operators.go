package jinja

import (
	"math"
	"math/bits"
	"strings"
)

func (s *state) overflow() { s.fail("integers beyond 64 bits are not supported") }

func (s *state) add(a, b int64) int64 {
	c := a + b
	if (c > a) != (b > 0) && b != 0 {
		s.overflow()
	}
	return c
}

func (s *state) subtract(a, b int64) int64 {
	c := a - b
	if (c < a) != (b > 0) && b != 0 {
		s.overflow()
	}
	return c
}

func (s *state) multiply(a, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if a < 0 {
		hi -= uint64(b)
	}
	if b < 0 {
		hi -= uint64(a)
	}
	if int64(hi) != int64(lo)>>63 {
		s.overflow()
	}
	return int64(lo)
}

func (s *state) arithmetic(op byte, a, b value) value {
	s.defined(a)
	if format, ok := a.(string); ok && op == '%' {
		return s.percent(format, b)
	}
	s.defined(b)
	if i, ok := integer(a); ok {
		if j, ok := integer(b); ok {
			return s.integers(op, i, j)
		}
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return s.floats(op, x, y)
		}
	}
	switch op {
	case '+':
		if v, ok := s.join(a, b); ok {
			return v
		}
	case '*':
		if n, ok := integer(b); ok {
			if v, ok := s.repeat(a, n); ok {
				return v
			}
		} else if n, ok := integer(a); ok {
			if v, ok := s.repeat(b, n); ok {
				return v
			}
		}
	case '%':
		if _, ok := a.(markup); ok {
			s.fail("formatting what escape or safe returned is not supported")
		}
	}
	s.fail("unsupported operand types for %s: %q and %q", operatorName(op), typeName(a), typeName(b))
	return nil
}

func operatorName(op byte) string {
	switch op {
	case 'D':
		return "//"
	case 'P':
		return "**"
	}
	return string(op)
}

func (s *state) join(a, b value) (value, bool) {
	switch x := a.(type) {
	case string:
		switch y := b.(type) {
		case string:
			s.charge(int64(len(x) + len(y)))
			return x + y, true
		case markup:
			return s.escape(x) + y, true
		}
	case markup:
		switch b.(type) {
		case string, markup:
			y := s.escape(b)
			s.charge(int64(len(x) + len(y)))
			return x + y, true
		}
	case *list:
		if y, ok := b.(*list); ok {
			s.items(len(x.items) + len(y.items))
			return &list{append(x.items[:len(x.items):len(x.items)], y.items...)}, true
		}
	case *tuple:
		if y, ok := b.(*tuple); ok {
			s.items(len(x.items) + len(y.items))
			return &tuple{items: append(x.items[:len(x.items):len(x.items)], y.items...)}, true
		}
	}
	return nil, false
}

func (s *state) repeat(v value, n int64) (value, bool) {
	n = max(n, 0)
	again := func(items []value) []value {
		if len(items) == 0 {
			return nil
		}
		s.charge(s.multiply(n, int64(16*len(items))))
		out := make([]value, 0, int(n)*len(items))
		for range n {
			out = append(out, items...)
		}
		return out
	}
	switch v := v.(type) {
	case string:
		return s.repeatText(v, n), true
	case markup:
		return markup(s.repeatText(string(v), n)), true
	case *list:
		return &list{again(v.items)}, true
	case *tuple:
		return &tuple{items: again(v.items)}, true
	}
	return nil, false
}

func (s *state) repeatText(text string, n int64) string {
	if n <= 0 || text == "" {
		return ""
	}
	s.charge(s.multiply(n, int64(len(text))))
	return strings.Repeat(text, int(n))
}

func (s *state) integers(op byte, a, b int64) value {
	switch op {
	case '+':
		return s.add(a, b)
	case '-':
		return s.subtract(a, b)
	case '*':
		return s.multiply(a, b)
	case '/':
		if b == 0 {
			s.fail("division by zero")
		}
		return float64(a) / float64(b)
	case 'D', '%':
		if b == 0 {
			s.fail("integer division or modulo by zero")
		}
		if b == -1 { // the least integer has no opposite
			if op == '%' {
				return int64(0)
			}
			return s.subtract(0, a)
		}
		q, r := a/b, a%b
		if r != 0 && (r < 0) != (b < 0) {
			q, r = q-1, r+b
		}
		if op == 'D' {
			return q
		}
		return r
	}
	if b < 0 {
		return s.floats(op, float64(a), float64(b))
	}
	power := int64(1)
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			power = s.multiply(power, a)
		}
		if b > 1 {
			a = s.multiply(a, a)
		}
	}
	return power
}

func (s *state) floats(op byte, a, b float64) value {
	switch op {
	case '+':
		return a + b
	case '-':
		return a - b
	case '*':
		return a * b
	case '/':
		if b == 0 {
			s.fail("float division by zero")
		}
		return a / b
	case 'D', '%':
		if b == 0 {
			s.fail("float floor division by zero")
		}
		r := math.Mod(a, b)
		if r != 0 && (r < 0) != (b < 0) {
			r += b
		} else if r == 0 {
			r = math.Copysign(0, b)
		}
		if op == '%' {
			return r
		}
		q := (a - r) / b
		if q == 0 {
			return math.Copysign(0, a/b)
		}
		if f := math.Floor(q); q-f > 0.5 {
			return f + 1
		} else {
			return f
		}
	}
	if a == 0 && b < 0 {
		s.fail("0.0 cannot be raised to a negative power")
	}
	if a < 0 && b != math.Trunc(b) && !math.IsInf(b, 0) {
		s.fail("complex numbers are not supported")
	}
	p := math.Pow(a, b)
	if math.IsInf(p, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
		s.fail("the result of ** is too large")
	}
	return p
}
