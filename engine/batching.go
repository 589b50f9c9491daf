package engine

import (
	"slices"
	"time"

	"so8t/engine/phi3"
)

// Which sequences a generator decodes together: continuous batching over a pool of pages (Yu et al., Orca, OSDI 2022;
// Kwon et al., arXiv 2309.06180).

// admit begins waiting prompts, as many at once as there are slots, pages and room in one pass, until nothing fits.
func (g *generator) admit() error {
	for {
		var slots []int
		var sequences [][]int32
		claimed, tokens := 0, 0
		for _, slot := range g.order {
			claimed += g.claim(g.cache.Length(slot))
		}
		for slot, prompt := range g.active {
			if prompt >= 0 || len(g.waiting) == 0 {
				continue
			}
			next := g.waiting[0]
			ids, again := g.prompts[next], len(g.out[next].Tokens) > 0
			claim := g.claim(len(ids) + len(g.out[next].Tokens))
			fits := (claimed == 0 || claimed+claim <= g.pages) && tokens+len(ids) <= g.model.options.MaxTokens
			if !fits || again && len(slots) > 0 {
				break
			}
			g.begin(slot)
			if slots = append(slots, slot); again {
				break
			}
			sequences = append(sequences, ids)
			claimed, tokens = claimed+claim, tokens+len(ids)
		}
		if len(slots) == 0 {
			return nil
		}
		var err error
		if len(sequences) > 0 {
			err = g.model.phi.Fill(g.cache, sequences, slots, g.model.adapted)
		} else {
			err = g.resume(slots[0])
		}
		if err == nil {
			err = g.choose(slots)
		}
		if err != nil {
			return err
		}
	}
}

// claim is the pages of a sequence and the next one that it will want, so that no sequence begins only to be put
// back at once. The sum over slots that hold all they may is what a full pool has.
func (g *generator) claim(tokens int) int {
	return min(phi3.Pages(tokens)+1, phi3.Pages(g.capacity))
}

func (g *generator) begin(slot int) {
	next := g.waiting[0]
	g.waiting = g.waiting[1:]
	g.active[slot] = next
	g.order = append(g.order, slot)
	if g.started[next].IsZero() {
		g.started[next] = time.Now()
	}
}

// makeRoom puts the youngest sequences back until each that stays has a page for its next token. The oldest always
// goes on: the pool has as many pages as one slot may hold.
func (g *generator) makeRoom() {
	for {
		missing := 0
		for _, slot := range g.order {
			missing += g.cache.Missing(slot, 1)
		}
		if missing <= g.cache.Vacant() {
			return
		}
		g.putBack(g.order[len(g.order)-1])
	}
}

func (g *generator) putBack(slot int) {
	prompt := g.active[slot]
	g.waiting = slices.Insert(g.waiting, 0, prompt)
	g.out[prompt].Restarts++
	g.leave(slot)
}

// resume computes a sequence that was put back as it was computed the first time: what came by Fill by Fill, what
// came token by token against the cache. So it goes on with the same numbers, to the rounding of products over other
// numbers of rows, which the company of other sequences changes too.
func (g *generator) resume(slot int) error {
	prompt := g.active[slot]
	whole := slices.Concat(g.prompts[prompt], g.out[prompt].Tokens)
	filled := g.model.phi.Filled(len(g.prompts[prompt]), len(whole))
	if err := g.model.phi.Fill(g.cache, [][]int32{whole[:filled]}, []int{slot}, g.model.adapted); err != nil {
		return err
	}
	for part := range slices.Chunk(whole[filled:], g.model.options.MaxTokens) {
		if err := g.model.phi.Extend(g.cache, []phi3.Extension{{Slot: slot, IDs: part}}, g.model.adapted); err != nil {
			return err
		}
	}
	return nil
}

// leave frees a slot and its pages.
func (g *generator) leave(slot int) {
	g.cache.Truncate(slot, 0)
	g.active[slot] = -1
	g.order = slices.DeleteFunc(g.order, func(s int) bool { return s == slot })
}
