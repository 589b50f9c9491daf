package phi3

// pool maps the pages of each slot's sequence to pages of the cache. Slots may share pages that none of them writes to.
type pool struct {
	pages, perSlot int     // in all, and at most in one slot
	vacant         []int32 // taken from the end
	holders        []int   // slots that hold a page
	held           [][]int32
	table          []int32 // [slots, perSlot]; entries beyond what a slot holds are stale
	changed        bool    // the device's copy of the table is stale
}

func newPool(slots, perSlot, pages int) *pool {
	p := &pool{pages: pages, perSlot: perSlot, holders: make([]int, pages), held: make([][]int32, slots), table: make([]int32, slots*perSlot), changed: true}
	for i := pages - 1; i >= 0; i-- {
		p.vacant = append(p.vacant, int32(i))
	}
	return p
}

// Pages is how many pages tokens of one sequence take.
func Pages(tokens int) int { return (tokens + PageSize - 1) / PageSize }

// resize gives a slot n pages. The pool must have enough.
func (p *pool) resize(slot, n int) {
	for held := p.held[slot]; len(held) > n; held = p.held[slot] {
		last := held[len(held)-1]
		if p.holders[last]--; p.holders[last] == 0 {
			p.vacant = append(p.vacant, last)
		}
		p.held[slot] = held[:len(held)-1]
	}
	for len(p.held[slot]) < n {
		page := p.vacant[len(p.vacant)-1]
		p.vacant = p.vacant[:len(p.vacant)-1]
		p.hold(slot, page)
	}
}

// share gives an empty slot the first n pages of another.
func (p *pool) share(from, to, n int) {
	for _, page := range p.held[from][:n] {
		p.hold(to, page)
	}
}

func (p *pool) hold(slot int, page int32) {
	if entry := &p.table[slot*p.perSlot+len(p.held[slot])]; *entry != page {
		*entry, p.changed = page, true
	}
	p.held[slot] = append(p.held[slot], page)
	p.holders[page]++
}

// shared reports whether another slot holds the page of a slot's position, which then must not be written.
func (p *pool) shared(slot, position int) bool {
	page := position / PageSize
	return page < len(p.held[slot]) && p.holders[p.held[slot][page]] > 1
}
