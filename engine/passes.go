package engine

import (
	"cmp"
	"slices"
	"time"

	"so8t/engine/phi3"
)

// What a Scheduler's step computes, in which passes.

// prefill is what one step computes of prompts.
type prefill struct {
	limited bool // to budget, in one step
	budget  int
	pieces  []*sequence // that continue what their slots hold
	behind  bool        // a long prompt was passed over in the step before
}

// work is a piece of one pass.
type work struct {
	phi3.Piece
	of           *sequence
	continuation int // of a probe; -1: the sequence's own tokens
}

// rank orders a pass: its first picked rows are sampled, the others have targets (see phi3's Picked).
func (w work) rank() int {
	if w.of.probe == nil {
		return 0
	}
	return 1
}

// begin gives waiting sequences slots and computes the beginnings of their prompts, until nothing more fits the step. A
// sequence that was put back is computed as it was the first time: its prompt by Fill, in the same chunks, the rest against
// the cache. So it continues with the same numbers, up to the rounding of products over other numbers of rows.
func (s *Scheduler) begin() error {
	for _, q := range s.running {
		if s.model.phi.Outgrows(s.cache, q.slot, 1) { // computed anew with longrope's long factors
			s.cache.Truncate(q.slot, 0)
		}
	}
	p := &s.prefill
	p.budget, p.pieces = s.chunk, nil
	behind := false
	for {
		if err := s.admit(); err != nil {
			return err
		}
		s.freePages()
		fills, left := s.fills()
		behind = behind || left
		if len(fills) == 0 {
			p.behind = behind && !p.behind
			return nil
		}
		if err := s.compute(fills, s.model.phi.Fill); err != nil {
			return err
		}
		if !p.limited {
			p.budget = s.chunk
		}
	}
}

// end is how many of a sequence's tokens the next piece takes it to.
func (s *Scheduler) end(q *sequence) int {
	at, whole := s.cache.Length(q.slot), len(q.tokens)
	if filled := s.model.phi.Filled(len(q.Prompt), whole); at < filled {
		whole = filled
	}
	return min(whole, (at/s.chunk+1)*s.chunk)
}

// fills chooses the prompts' pieces that fit the budget: short ones first, the oldest of them first; a long prompt, one
// that is not complete with its piece, goes first if the step before passed it over. It returns the pieces that begin a
// sequence, and whether a long prompt is left behind.
func (s *Scheduler) fills() (fills []work, behind bool) {
	p := &s.prefill
	var prompts []*sequence
	for _, q := range slices.Concat(s.probes.active, s.running) {
		at := s.cache.Length(q.slot)
		if (at == 0 || len(q.tokens)-at > 1) && !slices.Contains(p.pieces, q) {
			prompts = append(prompts, q)
		}
	}
	long := func(q *sequence) bool { return s.end(q) < len(q.tokens) }
	slices.SortStableFunc(prompts, func(a, b *sequence) int {
		if long(a) == long(b) {
			return 0
		}
		if long(a) == p.behind {
			return -1
		}
		return 1
	})
	for i, q := range prompts {
		at, end := s.cache.Length(q.slot), s.end(q)
		if end-at > p.budget {
			return fills, slices.ContainsFunc(prompts[i:], long)
		}
		p.budget -= end - at
		if at > 0 {
			p.pieces = append(p.pieces, q)
			continue
		}
		fills = append(fills, s.own(q))
	}
	return fills, false
}

// own is the next piece of a sequence's own tokens.
func (s *Scheduler) own(q *sequence) work {
	at, end := s.cache.Length(q.slot), s.end(q)
	w := work{of: q, continuation: -1, Piece: phi3.Piece{Slot: q.slot, IDs: q.tokens[at:end], Whole: s.model.phi.Filled(len(q.Prompt), len(q.tokens))}}
	switch {
	case end < len(q.tokens):
		w.Pick = phi3.PickNone
	case q.probe != nil:
		w.Targets = q.probe.firsts()
	}
	return w
}

// advance feeds each running sequence its last token, and prompts and probes their next pieces.
func (s *Scheduler) advance() error {
	s.freePages()
	var all []work
	for _, q := range s.slots {
		if q != nil && s.cache.Length(q.slot) == len(q.tokens)-1 && len(q.tokens) > 1 {
			all = append(all, s.own(q))
		}
	}
	for _, q := range s.prefill.pieces {
		if slices.Contains(s.running, q) {
			all = append(all, s.own(q))
		}
	}
	for _, q := range s.probes.active {
		at := s.cache.Length(q.slot)
		if slices.Contains(s.prefill.pieces, q) || at > 0 && at == len(q.tokens)-1 {
			all = append(all, s.own(q))
		}
	}
	branches, err := s.branches()
	if err != nil {
		return err
	}
	return s.compute(append(all, branches...), s.model.phi.Extend)
}

// compute runs as few passes as the pieces fit, requests before probes, and takes the results of each.
func (s *Scheduler) compute(all []work, pass func(*phi3.Cache, []phi3.Piece, bool) error) error {
	slices.SortStableFunc(all, func(a, b work) int { return cmp.Compare(a.rank(), b.rank()) })
	for len(all) > 0 {
		rows, picked := 0, 0
		var pieces []phi3.Piece
		for _, w := range all {
			rows, picked = rows+len(w.IDs), picked+max(1, len(w.Targets))
			if max(rows, picked) > s.model.options.MaxTokens {
				break
			}
			pieces = append(pieces, w.Piece)
		}
		if err := pass(s.cache, pieces, s.model.adapted); err != nil {
			return err
		}
		if err := s.take(all[:len(pieces)]); err != nil {
			return err
		}
		all = all[len(pieces):]
	}
	return nil
}

// take takes the next token of each request of the last pass, and the probes' scores.
func (s *Scheduler) take(all []work) error {
	var chosen []*sequence
	var how []phi3.Sampling
	for _, w := range all {
		if w.of.probe == nil && w.Pick == phi3.PickLast {
			chosen, how = append(chosen, w.of), append(how, w.of.sampling())
		}
	}
	ids, scores, err := s.model.phi.Picked(how)
	if err != nil {
		return err
	}
	for i, q := range chosen {
		s.choose(q, ids[i])
	}
	for _, w := range all {
		if w.of.probe == nil && len(w.IDs) > 1 && slices.Contains(s.running, w.of) {
			if err := s.keep(w.of); err != nil {
				return err
			}
		}
		if n := len(w.Targets); n > 0 {
			if err := s.score(w, scores[:n]); err != nil {
				return err
			}
			scores = scores[n:]
		}
	}
	return nil
}

// sampling is how the sequence's next token is drawn: its number depends on the request and the token's place alone.
func (q *sequence) sampling() phi3.Sampling {
	how := phi3.Sampling{Temperature: q.Temperature, TopP: q.TopP}
	if q.Temperature > 0 {
		how.U = float32(newDraws(q.Seed, drawSample, uint32(q.Index), uint32(len(q.generated()))).float())
	}
	return how
}

// choose gives a sequence its next token and ends it if that was the last.
func (s *Scheduler) choose(q *sequence, id int32) {
	stopped := slices.Contains(q.EOS, id)
	full := false
	if !stopped {
		q.tokens = append(q.tokens, id)
		q.extent = len(q.tokens)
		s.events = append(s.events, Event{ID: q.id, Token: id})
		stopped = q.Stop != nil && q.Stop(q.generated())
		full = len(q.generated()) >= q.MaxNewTokens || len(q.tokens) >= s.capacity
	}
	if stopped || full {
		q.out.Tokens, q.out.Finished, q.out.Latency = q.generated(), stopped, time.Since(q.started)
		s.ended(q, Event{End: &q.out})
	}
}
