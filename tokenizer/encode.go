package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Bounds of an encoder's cache: about 4 MB at most.
const (
	maxCached      = 1 << 15 // pieces
	maxCachedBytes = 48      // longer pieces rarely recur
)

// Encode returns the ids of text. Added tokens are recognised; no bos or eos is added.
func (t *Tokenizer) Encode(text string) []int32 {
	text = strings.ToValidUTF8(text, "\uFFFD")
	e := t.encoders.Get().(*encoder)
	defer t.encoders.Put(e)
	e.out = make([]int32, 0, len(text)/3+4)
	emit := func(id int32, _, _ int) { e.out = append(e.out, id) }
	t.added.cut(text, func(start, stop int) {
		segment := normalize(t.normalizer, text[start:stop])
		t.addedNorm.cut(segment, func(start, stop int) { e.segment(segment[start:stop]) }, emit)
	}, emit)
	out := e.out
	e.out = nil
	return out
}

// encoder is the scratch memory of one Encode call.
type encoder struct {
	*bpe
	out     []int32
	symbols []symbol
	queue   []candidate
	cache   map[string][]int32
}

// segment encodes normalised text: cut where nothing can merge, then piece by piece.
func (e *encoder) segment(s string) {
	start := 0       // of the current piece
	runes := 0       // in the current piece
	last := rune(-1) // before position i
	lastKnown := int32(-1)
	for i, r := range s {
		id := e.runes.get(r)
		if runes > 0 && e.cutBetween(last, r, lastKnown, id) {
			e.piece(s[start:i], runes, lastKnown)
			start, runes = i, 0
		}
		last, lastKnown = r, id
		runes++
	}
	if runes > 0 {
		e.piece(s[start:], runes, lastKnown)
	}
}

func (e *encoder) cutBetween(a, b rune, idA, idB int32) bool {
	if idA < 0 && idB < 0 {
		return e.byteFallback // a run of unknown runes may fuse into one unk
	}
	return idA < 0 || idB < 0 || e.cuts.between(a, b)
}

// piece encodes one piece; last is the id of its last rune, the only one where runes is 1.
func (e *encoder) piece(s string, runes int, last int32) {
	if runes == 1 && last >= 0 {
		e.out = append(e.out, last)
		return
	}
	if runes == 1 && e.byteFallback {
		for i := range len(s) {
			e.out = append(e.out, e.bytes[s[i]])
		}
		return
	}
	if len(s) > maxCachedBytes {
		e.merge(s)
		return
	}
	ids, ok := e.cache[s]
	if !ok {
		before := len(e.out)
		e.merge(s)
		if len(e.cache) >= maxCached {
			clear(e.cache)
		}
		e.cache[strings.Clone(s)] = append([]int32(nil), e.out[before:]...)
		return
	}
	e.out = append(e.out, ids...)
}

// symbol is a stretch of the piece that is one token so far; a linked list over positions.
type symbol struct {
	id         int32 // -1 once merged into its left neighbour
	prev, next int32 // positions, -1 at the ends
}

// candidate is a merge that was possible when it was queued.
type candidate struct{ rank, pos, id int32 }

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.pos < d.pos
}

// merge encodes s by byte-pair merges, lowest rank first, leftmost first among equals.
func (e *encoder) merge(s string) {
	e.symbols, e.queue = e.symbols[:0], e.queue[:0]
	e.spell(s)
	n := int32(len(e.symbols))
	for i := range n {
		e.symbols[i].prev, e.symbols[i].next = i-1, i+1
	}
	e.symbols[n-1].next = -1
	for i := range n - 1 {
		e.consider(i, i+1)
	}
	for len(e.queue) > 0 {
		top := e.pop()
		left := &e.symbols[top.pos]
		if left.id < 0 || left.next < 0 {
			continue
		}
		right := &e.symbols[left.next]
		// Stale: one of the two has since been merged with its other neighbour.
		if m, ok := e.merges[pair(left.id, right.id)]; !ok || m.id != top.id {
			continue
		}
		left.id, right.id = top.id, -1
		left.next = right.next
		if left.next >= 0 {
			e.symbols[left.next].prev = top.pos
			e.consider(top.pos, left.next)
		}
		if left.prev >= 0 {
			e.consider(left.prev, top.pos)
		}
	}
	for i := int32(0); i >= 0; i = e.symbols[i].next {
		e.out = append(e.out, e.symbols[i].id)
	}
}

// spell makes one symbol of each rune in the vocabulary, bytes or unk of the others.
func (e *encoder) spell(s string) {
	inUnk := false
	for i, r := range s {
		id := e.runes.get(r)
		switch {
		case id >= 0:
			e.symbols = append(e.symbols, symbol{id: id})
		case e.byteFallback:
			for j := range utf8.RuneLen(r) {
				e.symbols = append(e.symbols, symbol{id: e.bytes[s[i+j]]})
			}
		case !inUnk || !e.fuseUnk:
			e.symbols = append(e.symbols, symbol{id: e.unk})
		}
		inUnk = id < 0
	}
}

// consider queues the pair at two neighbouring positions, if it can merge.
func (e *encoder) consider(left, right int32) {
	if m, ok := e.merges[pair(e.symbols[left].id, e.symbols[right].id)]; ok {
		e.push(candidate{rank: m.rank, pos: left, id: m.id})
	}
}

func (e *encoder) push(c candidate) {
	q := append(e.queue, c)
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !c.before(q[parent]) {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = c
	e.queue = q
}

func (e *encoder) pop() candidate {
	q := e.queue
	top, c := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].before(q[child]) {
			child++
		}
		if !q[child].before(c) {
			break
		}
		q[i] = q[child]
		i = child
	}
	if len(q) > 0 {
		q[i] = c
	}
	e.queue = q
	return top
}
