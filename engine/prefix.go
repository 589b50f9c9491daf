package engine

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
)

// prefixes are beginnings of prompts whose pages are kept for the requests that begin alike. They are whole chunks, so that
// a request's prompt is computed in the same pieces, and with the same bits, as without them. A beginning is kept when it
// comes for the second time: most are never seen again.
type prefixes struct {
	free []int    // slots
	kept []prefix // the least recently used first
	seed maphash.Seed
	seen map[uint64]bool // hashes of beginnings
}

type prefix struct {
	slot   int
	tokens []int32
}

// mostSeen bounds the memory of what was seen: beyond it, everything is forgotten.
const mostSeen = 1 << 14

// reuse gives a sequence that enters the longest kept beginning of its prompt.
func (s *Scheduler) reuse(q *sequence) error {
	best, most := -1, 0
	prompt := s.model.phi.Filled(len(q.Prompt), len(q.tokens))
	for i, p := range s.prefixes.kept {
		common := 0
		for limit := min(len(p.tokens), prompt-1); common < limit && p.tokens[common] == q.tokens[common]; {
			common++
		}
		if common -= common % s.chunk; common > most && s.model.phi.Forks(s.cache, p.slot, prompt) {
			best, most = i, common
		}
	}
	if best < 0 {
		return nil
	}
	p := s.prefixes.kept[best]
	s.prefixes.kept = append(slices.Delete(s.prefixes.kept, best, best+1), p)
	return s.model.phi.Fork(s.cache, p.slot, q.slot, most)
}

// keep notes that a sequence has come to the end of a chunk of its prompt, and keeps the pages so far if others began alike.
func (s *Scheduler) keep(q *sequence) error {
	p, n := &s.prefixes, s.cache.Length(q.slot)
	if len(p.free)+len(p.kept) == 0 || n%s.chunk > 0 || n > len(q.Prompt) {
		return nil
	}
	begins := func(kept prefix) bool { return len(kept.tokens) >= n && slices.Equal(kept.tokens[:n], q.tokens[:n]) }
	if slices.ContainsFunc(p.kept, begins) {
		return nil
	}
	var h maphash.Hash
	h.SetSeed(p.seed)
	_ = binary.Write(&h, binary.LittleEndian, q.tokens[:n]) // a hash never fails
	if sum := h.Sum64(); !p.seen[sum] {
		if len(p.seen) >= mostSeen {
			clear(p.seen)
		}
		p.seen[sum] = true
		return nil
	}
	shorter := func(kept prefix) bool {
		return len(kept.tokens) < n && slices.Equal(kept.tokens, q.tokens[:len(kept.tokens)])
	}
	if i := slices.IndexFunc(p.kept, shorter); i >= 0 {
		s.forget(i)
	}
	if len(p.free) == 0 {
		s.forget(0)
	}
	slot := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	p.kept = append(p.kept, prefix{slot, slices.Clone(q.tokens[:n])})
	return s.model.phi.Fork(s.cache, q.slot, slot, n)
}

// forget frees the slot of a beginning, and the pages that no sequence reads.
func (s *Scheduler) forget(i int) {
	p := &s.prefixes
	slot := p.kept[i].slot
	s.cache.Truncate(slot, 0)
	p.kept, p.free = slices.Delete(p.kept, i, i+1), append(p.free, slot)
}

// vacate forgets beginnings until n pages are vacant, and reports whether they are.
func (s *Scheduler) vacate(n int) bool {
	for s.cache.Vacant() < n && len(s.prefixes.kept) > 0 {
		s.forget(0)
	}
	return s.cache.Vacant() >= n
}
