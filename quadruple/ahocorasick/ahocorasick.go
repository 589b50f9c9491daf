// Package ahocorasick finds many strings in one pass over a text, byte by byte (Aho and Corasick, Efficient string
// matching, 1975). A step's cost does not grow with the number of strings, and building costs time and memory in
// proportion to their length.
package ahocorasick

// Matcher finds its patterns in the bytes that it is given. The zero value has none.
type Matcher struct {
	nodes []node // the patterns' trie; 0 is its root
	root  [256]int32
	more  map[edge]int32 // children beyond a node's first: most nodes have one
	state int32          // the longest end of what was read that begins a pattern
}

type node struct {
	label byte  // of the edge to it
	next  byte  // label of the first child
	child int32 // 0: none
	fail  int32 // the longest proper suffix that begins a pattern
	depth int32
	match int32 // length of the longest pattern that ends here, 0: none
	level int32 // while building: the next node of the same depth
	above int32 // parent
}

type edge struct {
	node  int32
	label byte
}

// New returns a Matcher of the patterns. Empty ones are left out.
func New(patterns []string) *Matcher {
	m := &Matcher{nodes: make([]node, 1), more: map[edge]int32{}}
	var levels []int32 // [depth-1]: the first node of that depth
	for _, p := range patterns {
		at := int32(0)
		for i := range len(p) {
			if i == len(levels) {
				levels = append(levels, 0)
			}
			next := m.child(at, p[i])
			if next == 0 {
				next = m.grow(at, p[i])
				m.nodes[next].level, levels[i] = levels[i], next
			}
			at = next
		}
		m.nodes[at].match = int32(len(p))
	}
	for _, n := range levels { // shallow ones first: a suffix is shorter
		for ; n != 0; n = m.nodes[n].level {
			m.link(n)
		}
	}
	return m
}

func (m *Matcher) child(n int32, label byte) int32 {
	if n == 0 {
		return m.root[label]
	}
	at := &m.nodes[n]
	if at.child == 0 || at.next == label {
		return at.child
	}
	if len(m.more) == 0 {
		return 0
	}
	return m.more[edge{n, label}]
}

func (m *Matcher) grow(parent int32, label byte) int32 {
	n := int32(len(m.nodes))
	m.nodes = append(m.nodes, node{label: label, above: parent, depth: m.nodes[parent].depth + 1})
	switch at := &m.nodes[parent]; {
	case parent == 0:
		m.root[label] = n
	case at.child == 0:
		at.child, at.next = n, label
	default:
		m.more[edge{parent, label}] = n
	}
	return n
}

// link sets where the search goes on when no child of n fits.
func (m *Matcher) link(n int32) {
	at := &m.nodes[n]
	if at.above != 0 {
		at.fail = m.follow(m.nodes[at.above].fail, at.label)
	}
	if at.match == 0 {
		at.match = m.nodes[at.fail].match
	}
}

// follow is the node behind the longest end of n's string, with label, that begins a pattern.
func (m *Matcher) follow(n int32, label byte) int32 {
	for {
		if next := m.child(n, label); next != 0 || n == 0 {
			return next
		}
		n = m.nodes[n].fail
	}
}

// Step takes the next byte and returns the length of the longest pattern that ends with it, 0 if none does.
func (m *Matcher) Step(b byte) (matched int) {
	if m.state = m.follow(m.state, b); m.state == 0 {
		return 0
	}
	return int(m.nodes[m.state].match)
}

// Pending is the number of bytes at the end of what was read that may become a pattern, or are one.
func (m *Matcher) Pending() int {
	if m.state == 0 {
		return 0
	}
	return int(m.nodes[m.state].depth)
}
