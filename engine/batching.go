package engine

import (
	"slices"
	"time"

	"so8t/engine/phi3"
)

// Which sequences a Scheduler decodes together, and how each gets its next token.

// admit begins waiting sequences, as many at once as slots, pages and one pass allow, until none fits.
func (s *Scheduler) admit() error {
	for {
		begun, err := s.begin()
		if err == nil && len(begun) > 0 {
			err = s.choose(begun)
		}
		if err != nil || len(begun) == 0 {
			return err
		}
	}
}

// begin gives waiting sequences free slots and computes them in one pass. One that was put back has a pass of its own.
func (s *Scheduler) begin() (begun []*sequence, err error) {
	claimed, tokens := 0, 0
	for _, q := range s.running {
		claimed += s.claim(s.cache.Length(q.slot))
	}
	for slot, taken := range s.slots {
		if taken != nil || len(s.waiting) == 0 {
			continue
		}
		q := s.waiting[0]
		resumed := len(q.out.Tokens) > 0
		claim := s.claim(len(q.Prompt) + len(q.out.Tokens))
		fits := (claimed == 0 || claimed+claim <= s.pages) && tokens+len(q.Prompt) <= s.model.options.MaxTokens
		if !fits || resumed && len(begun) > 0 {
			break
		}
		s.enter(q, slot)
		begun = append(begun, q)
		if resumed {
			return begun, s.resume(q)
		}
		claimed, tokens = claimed+claim, tokens+len(q.Prompt)
	}
	if len(begun) == 0 {
		return nil, nil
	}
	prompts, slots := make([][]int32, len(begun)), make([]int, len(begun))
	for i, q := range begun {
		prompts[i], slots[i] = q.Prompt, q.slot
	}
	return begun, s.model.phi.Fill(s.cache, prompts, slots, s.model.adapted)
}

// claim is the pages of a sequence and the next one that it will want, so that no sequence begins only to be put back at
// once. A sequence of full length wants no more.
func (s *Scheduler) claim(tokens int) int {
	return min(phi3.Pages(tokens)+1, phi3.Pages(s.capacity))
}

func (s *Scheduler) enter(q *sequence, slot int) {
	s.waiting = s.waiting[1:]
	s.slots[slot], q.slot = q, slot
	s.running = append(s.running, q)
	if q.started.IsZero() {
		q.started = time.Now()
	}
}

// leave frees a sequence's slot and pages.
func (s *Scheduler) leave(q *sequence) {
	s.cache.Truncate(q.slot, 0)
	s.slots[q.slot] = nil
	s.running = slices.DeleteFunc(s.running, func(other *sequence) bool { return other == q })
}

// freePages puts the youngest sequences back until each that stays has a page for its next token. The oldest always
// stays: the pool has at least as many pages as one sequence may hold.
func (s *Scheduler) freePages() {
	for {
		missing := 0
		for _, q := range s.running {
			missing += s.cache.Missing(q.slot, 1)
		}
		if missing <= s.cache.Vacant() {
			return
		}
		s.putBack(s.running[len(s.running)-1])
	}
}

func (s *Scheduler) putBack(q *sequence) {
	s.leave(q)
	s.waiting = slices.Insert(s.waiting, 0, q)
	q.out.Restarts++
}

// resume recomputes a sequence that was put back as it was computed the first time: by Fill what came by Fill, against
// the cache what came token by token. So it continues with the same numbers, up to the rounding of products over other
// numbers of rows, which varies with the batch anyway.
func (s *Scheduler) resume(q *sequence) error {
	m := s.model
	whole := slices.Concat(q.Prompt, q.out.Tokens)
	filled := m.phi.Filled(len(q.Prompt), len(whole))
	if err := m.phi.Fill(s.cache, [][]int32{whole[:filled]}, []int{q.slot}, m.adapted); err != nil {
		return err
	}
	for part := range slices.Chunk(whole[filled:], m.options.MaxTokens) {
		if err := m.phi.Extend(s.cache, []phi3.Extension{{Slot: q.slot, IDs: part}}, m.adapted); err != nil {
			return err
		}
	}
	return nil
}

// advance feeds each running sequence its last token. One that outgrows longrope's short factors is computed anew.
func (s *Scheduler) advance() error {
	m := s.model
	var extensions []phi3.Extension
	var extended []*sequence
	for _, q := range s.slots {
		if q == nil {
			continue
		}
		tokens := q.out.Tokens
		if !m.phi.Outgrows(s.cache, q.slot, 1) {
			extensions = append(extensions, phi3.Extension{Slot: q.slot, IDs: tokens[len(tokens)-1:]})
			extended = append(extended, q)
			continue
		}
		whole := slices.Concat(q.Prompt, tokens)
		if len(whole) > m.options.MaxTokens {
			s.end(q, false)
			continue
		}
		if err := m.phi.Fill(s.cache, [][]int32{whole}, []int{q.slot}, m.adapted); err != nil {
			return err
		}
		if err := s.choose([]*sequence{q}); err != nil {
			return err
		}
	}
	if len(extended) == 0 {
		return nil
	}
	if err := m.phi.Extend(s.cache, extensions, m.adapted); err != nil {
		return err
	}
	return s.choose(extended)
}

// choose takes the next token of each sequence of the last pass and ends what is finished.
func (s *Scheduler) choose(of []*sequence) error {
	how := make([]phi3.Sampling, len(of))
	for i, q := range of {
		how[i] = phi3.Sampling{Temperature: q.Temperature, TopP: q.TopP}
		if q.Temperature > 0 {
			how[i].U = float32(newDraws(q.Seed, drawSample, uint32(q.Index), uint32(len(q.out.Tokens))).float())
		}
	}
	ids, err := s.model.phi.PickedTokens(how)
	if err != nil {
		return err
	}
	for i, q := range of {
		if slices.Contains(q.EOS, ids[i]) {
			s.end(q, true)
			continue
		}
		q.out.Tokens = append(q.out.Tokens, ids[i])
		s.events = append(s.events, Event{ID: q.id, Token: ids[i]})
		stopped := q.Stop != nil && q.Stop(q.out.Tokens)
		full := len(q.out.Tokens) >= q.MaxNewTokens || len(q.Prompt)+len(q.out.Tokens) >= s.capacity
		if stopped || full {
			s.end(q, stopped)
		}
	}
	return nil
}

// end takes a finished sequence out of the batch.
func (s *Scheduler) end(q *sequence, finished bool) {
	q.out.Finished, q.out.Latency = finished, time.Since(q.started)
	s.leave(q)
	s.mu.Lock()
	delete(s.live, q.id)
	s.mu.Unlock()
	s.events = append(s.events, Event{ID: q.id, End: &q.out})
}
