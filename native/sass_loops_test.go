package native

import (
	"maps"
	"slices"
)

// hotPath counts the instructions of a hotLoop's way.
func hotPath(code []instruction, around string) map[string]int {
	back := backEdges(code)
	bodies := loops(code, back)
	maps.DeleteFunc(bodies, func(_ int, body map[int]bool) bool { return holds(code, body, around) == 0 })
	var best *way
	for head, body := range bodies {
		if slices.ContainsFunc(slices.Collect(maps.Keys(bodies)), func(inner int) bool { return inner != head && body[inner] }) {
			continue
		}
		w := walk{code: code, back: back, around: around, head: head, body: body, known: map[int]*way{}}
		if p := w.from(head); p != nil && (best == nil || p.before(best)) {
			best = p
		}
	}
	if best == nil {
		everything := map[int]bool{}
		for i := range code {
			everything[i] = true
		}
		w := walk{code: code, back: back, around: around, body: everything, known: map[int]*way{}}
		best = w.from(0)
	}
	counts := map[string]int{}
	for p := best; p != nil; p = p.rest {
		counts["all"]++
		for _, kind := range code[p.at].kinds {
			counts[kind]++
		}
	}
	return counts
}

type edge struct{ from, to int }

// backEdges are those that a depth-first walk from the first instruction finds to lead back to where it has come from.
func backEdges(code []instruction) map[edge]bool {
	back, reached, open := map[edge]bool{}, make([]bool, len(code)), make([]bool, len(code))
	var visit func(i int)
	visit = func(i int) {
		reached[i], open[i] = true, true
		for _, n := range code[i].next {
			if open[n] {
				back[edge{i, n}] = true
			} else if !reached[n] {
				visit(n)
			}
		}
		open[i] = false
	}
	if len(code) > 0 {
		visit(0)
	}
	return back
}

// loops returns, by its first instruction, each loop's body: whatever leads to its back edges without passing its head.
func loops(code []instruction, back map[edge]bool) map[int]map[int]bool {
	before := make([][]int, len(code))
	for i, c := range code {
		for _, n := range c.next {
			before[n] = append(before[n], i)
		}
	}
	bodies := map[int]map[int]bool{}
	for e := range back {
		if bodies[e.to] == nil {
			bodies[e.to] = map[int]bool{e.to: true}
		}
		body := bodies[e.to]
		for todo := []int{e.from}; len(todo) > 0; {
			i := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if !body[i] {
				body[i] = true
				todo = append(todo, before[i]...)
			}
		}
	}
	return bodies
}

func holds(code []instruction, body map[int]bool, kind string) (n int) {
	for i := range body {
		if slices.Contains(code[i].kinds, kind) {
			n++
		}
	}
	return n
}

// A way through a body: an instruction and the rest of the way, counted to its end.
type way struct {
	at                  int
	rest                *way
	around, copies, all int
}

func (p *way) before(q *way) bool {
	switch {
	case p.around != q.around:
		return p.around > q.around
	case p.copies != q.copies:
		return p.copies > q.copies
	}
	return p.all < q.all
}

type walk struct {
	code   []instruction
	back   map[edge]bool
	around string
	head   int
	body   map[int]bool
	known  map[int]*way
}

// from returns the best way from an instruction back to the head, or to the end of the kernel; nil if there is none.
func (w *walk) from(i int) *way {
	if p, ok := w.known[i]; ok {
		return p
	}
	var rest *way
	ends := len(w.code[i].next) == 0
	for _, n := range w.code[i].next {
		if w.back[edge{i, n}] {
			ends = ends || n == w.head
		} else if w.body[n] {
			if p := w.from(n); p != nil && (rest == nil || p.before(rest)) {
				rest = p
			}
		}
	}
	if rest == nil && !ends {
		w.known[i] = nil
		return nil
	}
	p := &way{at: i, rest: rest, all: 1}
	if rest != nil {
		p.around, p.copies, p.all = rest.around, rest.copies, rest.all+1
	}
	if slices.Contains(w.code[i].kinds, w.around) {
		p.around++
	}
	if slices.Contains(w.code[i].kinds, "LDGSTS") {
		p.copies++
	}
	w.known[i] = p
	return p
}
