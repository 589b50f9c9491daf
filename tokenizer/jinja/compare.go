package jinja

import (
	"math"
	"sort"
	"strings"
)

func (s *state) compare(op string, a, b value) bool {
	switch op {
	case "==":
		return s.equal(a, b)
	case "!=":
		return !s.equal(a, b)
	case "in":
		return s.contains(b, a)
	case "not in":
		return !s.contains(b, a)
	}
	s.defined(a)
	s.defined(b)
	less, greater := s.order(a, b)
	switch op {
	case "<":
		return less
	case ">":
		return greater
	}
	equal := s.equal(a, b)
	if op == "<=" {
		return less || equal
	}
	return greater || equal
}

func (s *state) equal(a, b value) bool {
	if x, ok := text(a); ok {
		y, ok := text(b)
		if ok && len(x) == len(y) {
			s.work(len(x))
			return x == y
		}
		return false
	}
	if i, ok := integer(a); ok {
		if j, ok := integer(b); ok {
			return i == j
		}
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y && exact(a) == exact(b)
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case *undefined:
		_, ok := b.(*undefined)
		return ok
	case *list:
		y, ok := b.(*list)
		return ok && (x == y || s.equalItems(x.items, y.items))
	case *tuple:
		y, ok := b.(*tuple)
		return ok && (x == y || s.equalItems(x.items, y.items))
	case *dict:
		y, ok := b.(*dict)
		return ok && (x == y || s.equalDicts(x, y))
	case *span:
		y, ok := b.(*span)
		return ok && x.len() == y.len() && (x.len() == 0 || x.start == y.start && (x.len() == 1 || x.step == y.step))
	case *dictView:
		if _, ok := b.(*dictView); ok && x.kind != "values" {
			s.fail("comparing dict_%s is not supported", x.kind)
		}
	}
	return a == b
}

// exact tells integers apart that a float64 cannot.
func exact(v value) int64 {
	if i, ok := integer(v); ok {
		return i
	}
	f := v.(float64)
	if math.Abs(f) < 1<<63 && f == math.Trunc(f) {
		return int64(f)
	}
	return math.MinInt64
}

func (s *state) equalItems(a, b []value) bool {
	s.descend()
	defer s.ascend()
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		s.step()
		if !s.equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (s *state) equalDicts(a, b *dict) bool {
	s.descend()
	defer s.ascend()
	if len(a.keys) != len(b.keys) {
		return false
	}
	for i, key := range a.keys {
		s.step()
		v, ok := b.get(s, key)
		if !ok || !s.equal(a.values[i], v) {
			return false
		}
	}
	return true
}

// order says whether a is less or greater; neither of equal values, and of NaN.
func (s *state) order(a, b value) (less, greater bool) {
	if x, ok := text(a); ok {
		if y, ok := text(b); ok {
			s.work(min(len(x), len(y)))
			return x < y, x > y // UTF-8 sorts as code points do
		}
	}
	if i, ok := integer(a); ok {
		if j, ok := integer(b); ok {
			return i < j, i > j
		}
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return x < y, x > y
		}
	}
	var x, y []value
	switch v := a.(type) {
	case *list:
		if w, ok := b.(*list); ok {
			x, y = v.items, w.items
			return s.orderItems(x, y)
		}
	case *tuple:
		if w, ok := b.(*tuple); ok {
			x, y = v.items, w.items
			return s.orderItems(x, y)
		}
	}
	s.defined(a)
	s.defined(b)
	s.fail("%q and %q cannot be ordered", typeName(a), typeName(b))
	return false, false
}

func (s *state) orderItems(a, b []value) (less, greater bool) {
	s.descend()
	defer s.ascend()
	for i := range min(len(a), len(b)) {
		s.step()
		if !s.equal(a[i], b[i]) {
			return s.order(a[i], b[i])
		}
	}
	return len(a) < len(b), len(a) > len(b)
}

// contains is Python's item in v.
func (s *state) contains(v, item value) bool {
	if whole, ok := text(v); ok {
		part, ok := text(item)
		if !ok {
			s.fail("'in <string>' requires string as left operand, not %s", typeName(item))
		}
		s.work(len(whole))
		return strings.Contains(whole, part)
	}
	switch v := v.(type) {
	case *dict:
		_, ok := v.get(s, item)
		return ok
	case *dictView:
		if v.kind == "keys" {
			_, ok := v.d.get(s, item)
			return ok
		}
	}
	items := s.iterate(v)
	for {
		other, ok := items()
		if !ok {
			return false
		}
		s.step()
		if s.equal(other, item) {
			return true
		}
	}
}

// sorted is Python's sorted, stable, with a key for each item.
func (s *state) sorted(items, keys []value, reverse bool) []value {
	s.items(2 * len(items))
	at := make([]int, len(items))
	for i := range at {
		at[i] = i
	}
	sort.SliceStable(at, func(i, j int) bool {
		s.step()
		if reverse {
			less, _ := s.order(keys[at[j]], keys[at[i]])
			return less
		}
		less, _ := s.order(keys[at[i]], keys[at[j]])
		return less
	})
	out := make([]value, len(items))
	for i, j := range at {
		out[i] = items[j]
	}
	return out
}
