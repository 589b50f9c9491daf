package engine

import (
	"slices"
	"time"

	"so8t/engine/phi3"
)

// Which sequences a Scheduler holds in its slots, and whose pages they take.

// admit begins waiting requests while there is a slot, and pages for each sequence and one page more, so that none begins
// only to be put back at once. Nothing begins while a probe waits for pages.
func (s *Scheduler) admit() error {
	if short, err := s.enterProbes(); short || err != nil {
		return err
	}
	claimed := 0
	for _, q := range slices.Concat(s.running, s.probes.active) {
		claimed += s.claim(q)
	}
	for slot, taken := range s.slots {
		q := s.waiting.next()
		if taken != nil || q == nil {
			continue
		}
		if claimed += s.claim(q); claimed > s.pages {
			return nil
		}
		s.waiting.take()
		s.slots[slot], q.slot = q, slot
		s.running = append(s.running, q)
		if q.started.IsZero() {
			q.started = time.Now()
		}
		if err := s.reuse(q); err != nil {
			return err
		}
	}
	return nil
}

// claim is the pages of a sequence and the next one that it will want. A sequence of full length wants no more.
func (s *Scheduler) claim(q *sequence) int {
	return min(phi3.Pages(q.extent)+1, phi3.Pages(s.capacity))
}

// leave frees a sequence's slot and pages.
func (s *Scheduler) leave(q *sequence) {
	s.cache.Truncate(q.slot, 0)
	itself := func(other *sequence) bool { return other == q }
	s.prefill.pieces = slices.DeleteFunc(s.prefill.pieces, itself)
	if q.probe != nil {
		s.probes.active = slices.DeleteFunc(s.probes.active, itself)
		s.probes.spare = append(s.probes.spare, q.slot)
		return
	}
	s.slots[q.slot] = nil
	s.running = slices.DeleteFunc(s.running, itself)
}

// lacking is how many pages the sequences in slots still need for the tokens that they have.
func (s *Scheduler) lacking() (n int) {
	for _, q := range s.running {
		n += s.cache.Missing(q.slot, q.extent)
	}
	for _, q := range s.probes.active {
		n += s.cache.Missing(q.slot, q.extent)
	}
	return n
}

// freePages makes room for all tokens of the sequences that stay: kept beginnings of prompts go first, then the youngest
// probes wait again, then the youngest sequences. The oldest always stays: the pool has at least as many pages as one sequence may hold.
func (s *Scheduler) freePages() {
	for !s.vacate(s.lacking()) {
		if n := len(s.probes.active); n > 0 {
			s.restart(s.probes.active[n-1])
		} else {
			s.putBack(s.running[len(s.running)-1])
		}
	}
}

func (s *Scheduler) putBack(q *sequence) {
	s.leave(q)
	s.waiting.putBack(q)
	q.out.Restarts++
}
