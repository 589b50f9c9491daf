package phi3

// pool maps the pages of each slot's sequence to pages of the cache.
type pool struct {
	pages, perSlot int     // in all, and at most in one slot
	vacant         []int32 // taken from the end
	held           [][]int32
	table          []int32 // [slots, perSlot]; entries beyond what a slot holds are stale
	changed        bool    // the device's copy of the table is stale
}

func newPool(slots, perSlot, pages int) *pool {
	p := &pool{pages: pages, perSlot: perSlot, held: make([][]int32, slots), table: make([]int32, slots*perSlot), changed: true}
	for i := pages - 1; i >= 0; i-- {
		p.vacant = append(p.vacant, int32(i))
	}
	return p
}

// Pages is how many pages tokens of one sequence take.
func Pages(tokens int) int { return (tokens + PageSize - 1) / PageSize }

// resize gives a slot n pages. The pool must have enough.
func (p *pool) resize(slot, n int) {
	held := p.held[slot]
	for len(held) > n {
		p.vacant = append(p.vacant, held[len(held)-1])
		held = held[:len(held)-1]
	}
	for len(held) < n {
		page := p.vacant[len(p.vacant)-1]
		p.vacant = p.vacant[:len(p.vacant)-1]
		if entry := &p.table[slot*p.perSlot+len(held)]; *entry != page {
			*entry, p.changed = page, true
		}
		held = append(held, page)
	}
	p.held[slot] = held
}
