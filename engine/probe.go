package engine

import (
	"fmt"
	"slices"

	"so8t/engine/phi3"
)

// probes are the Probes on their way. They have slots of their own.
type probes struct {
	waiting []*sequence // the first is next
	active  []*sequence // in slots, the youngest last
	spare   []int       // free slots
}

// probe is a Probe on its way: its context is a sequence, from which the continuations are forked.
type probe struct {
	Probe
	scores  []float64
	pending []int // continuations with tokens that are not yet in a pass
	passing int   // continuations in a pass
}

// reserve returns the number of slots of the cache: those of sequences, and for each of them as many as a probe of four
// continuations takes.
func (p *probes) reserve(slots int) int {
	const each = 4 // three forks, and the context, which takes the fourth continuation
	for slot := (1+each)*slots - 1; slot >= slots; slot-- {
		p.spare = append(p.spare, slot)
	}
	return (1 + each) * slots
}

func (p *probes) takeSlot() int {
	slot := p.spare[len(p.spare)-1]
	p.spare = p.spare[:len(p.spare)-1]
	return slot
}

// Score queues a probe, whose scores come as an event. It counts as a request: Cancel and Len know it. An error is about
// this probe alone.
func (s *Scheduler) Score(p Probe) (RequestID, error) {
	m, longest := s.model, 0
	for i, c := range p.Continuations {
		if len(c) == 0 {
			return 0, fmt.Errorf("continuation %d is empty", i)
		}
		if err := s.checkTokens(c); err != nil {
			return 0, err
		}
		whole := len(p.Prompt) + len(c)
		if len(c) > m.options.MaxTokens || m.phi.Filled(len(p.Prompt), whole) > len(p.Prompt) && whole > m.options.MaxTokens {
			return 0, fmt.Errorf("continuation %d of %d tokens behind %d does not fit a pass of %d", i, len(c), len(p.Prompt), m.options.MaxTokens)
		}
		longest = max(longest, len(c))
	}
	if longest == 0 || len(p.Continuations) > m.options.MaxTokens {
		return 0, fmt.Errorf("a probe of %d continuations; the model was opened for 1 to %d", len(p.Continuations), m.options.MaxTokens)
	}
	if err := s.checkPrompt(p.Prompt, s.capacity-longest); err != nil {
		return 0, err
	}
	return s.submit(&sequence{Request: Request{Prompt: p.Prompt}, extent: len(p.Prompt) + longest - 1, probe: &probe{Probe: p}}), nil
}

// enterProbes gives waiting probes slots, while there are pages beside those that sequences lack. A probe never takes a
// page from a sequence. short: one waits for pages.
func (s *Scheduler) enterProbes() (short bool, err error) {
	p := &s.probes
	for len(p.waiting) > 0 && len(p.spare) > 0 {
		q := p.waiting[0]
		from, common := s.origin(q)
		if !s.vacate(s.lacking() + phi3.Pages(q.extent) - common/phi3.PageSize) {
			return true, nil
		}
		p.waiting, q.slot = p.waiting[1:], p.takeSlot()
		p.active = append(p.active, q)
		if common == 0 {
			continue
		}
		if err := s.model.phi.Fork(s.cache, from, q.slot, common); err != nil {
			return false, err
		}
	}
	return false, nil
}

// origin is the slot that a probe's context is forked from, and how many of its tokens are there. The last token is always
// computed: its logits are wanted.
func (s *Scheduler) origin(q *sequence) (slot, common int) {
	i := slices.IndexFunc(s.running, func(r *sequence) bool { return r.id == q.probe.Of })
	if i < 0 || !s.model.phi.Forks(s.cache, s.running[i].slot, len(q.tokens)) {
		return 0, 0
	}
	r := s.running[i]
	for limit := min(s.cache.Length(r.slot), len(q.tokens)-1); common < limit && r.tokens[common] == q.tokens[common]; {
		common++
	}
	return r.slot, common
}

// restart lets a probe wait again: its pages are needed.
func (s *Scheduler) restart(q *sequence) {
	s.leave(q)
	q.probe.scores, q.probe.pending = nil, nil
	s.probes.waiting = slices.Insert(s.probes.waiting, 0, q)
}

// branches are the pieces that follow known contexts: one continuation in the context's own slot, others in forks of it as
// far as slots and pages allow.
func (s *Scheduler) branches() (all []work, err error) {
	free := s.cache.Vacant() - s.lacking()
	for _, q := range s.probes.active {
		p := q.probe
		for len(p.pending) > 0 {
			c := p.pending[0]
			ids := p.Continuations[c][:len(p.Continuations[c])-1]
			slot, last := q.slot, len(p.pending) == 1
			pages := phi3.Pages(len(q.tokens)+len(ids)) - len(q.tokens)/phi3.PageSize
			if !last && pages <= free && len(s.probes.spare) > 0 {
				slot, free = s.probes.takeSlot(), free-pages
				if err := s.model.phi.Fork(s.cache, q.slot, slot, len(q.tokens)); err != nil {
					return nil, err
				}
			}
			p.pending = p.pending[1:]
			p.passing++
			all = append(all, work{of: q, continuation: c, Piece: phi3.Piece{Slot: slot, IDs: ids, Pick: phi3.PickEvery, Targets: p.Continuations[c][1:]}})
			if slot == q.slot {
				break
			}
		}
	}
	return all, nil
}

// firsts are the first tokens of the continuations.
func (p *probe) firsts() []int32 {
	ids := make([]int32, len(p.Continuations))
	for i, c := range p.Continuations {
		ids[i] = c[0]
	}
	return ids
}

// score takes the log-probabilities of a piece's targets.
func (s *Scheduler) score(w work, targets []float32) error {
	q, p := w.of, w.of.probe
	if w.continuation < 0 {
		if err := s.scoreFirst(q, targets); err != nil {
			return err
		}
	} else {
		for _, t := range targets {
			p.scores[w.continuation] += float64(t)
		}
		p.passing--
		if w.Slot == q.slot {
			s.cache.Truncate(q.slot, len(q.tokens))
		} else {
			s.cache.Truncate(w.Slot, 0)
			s.probes.spare = append(s.probes.spare, w.Slot)
		}
	}
	if len(p.pending) == 0 && p.passing == 0 {
		s.ended(q, Event{Scores: p.scores})
	}
	return nil
}

// scoreFirst takes the log-probabilities of the first tokens. A continuation that outgrows longrope's short factors is
// computed in a pass of its own, as Model.Score does.
func (s *Scheduler) scoreFirst(q *sequence, targets []float32) (err error) {
	p := q.probe
	p.scores = make([]float64, len(p.Continuations))
	for i, c := range p.Continuations {
		if s.model.phi.Outgrows(s.cache, q.slot, len(c)) {
			if p.scores[i], err = s.model.scoreWhole(q.Prompt, c); err != nil {
				return err
			}
			continue
		}
		if p.scores[i] = float64(targets[i]); len(c) > 1 {
			p.pending = append(p.pending, i)
		}
	}
	return nil
}
