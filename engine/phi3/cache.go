package phi3

import (
	"fmt"

	"so8t/native"
)

// PageSize is how many positions of one sequence a page of the cache holds: small enough to waste
// little at a sequence's end, large enough to be read at full speed.
const PageSize = 64

// Cache holds keys and values of several sequences for decoding, in pages that sequences take from one pool as they grow
// (Kwon et al., arXiv 2309.06180). The pool may be smaller than what all slots need at full length.
type Cache struct {
	slots, capacity int
	buffer          native.Buffer
	states          native.Tensor   // [layers, keys and values, pages·PageSize, KV·D]
	keys, values    []native.Tensor // of a layer, [pages·PageSize, KV·D]
	planes          native.Tensor   // int32 [layers·2], counting from 0
	pool            *pool
	table           native.Tensor // int32 [slots, pages of a slot]
	lengths         []int         // tokens held, by slot
	long            []bool        // computed with longrope's long factors
	recorded        map[step]*native.Recording
}

// NewCache allocates a pool of pages for up to slots sequences of at most capacity tokens.
func (m *Model) NewCache(slots, capacity, pages int) (*Cache, error) {
	if err := m.checkLength(capacity); err != nil {
		return nil, err
	}
	if slots < 1 || pages < 1 {
		return nil, fmt.Errorf("a cache of %d slots and %d pages", slots, pages)
	}
	c := &Cache{slots: slots, capacity: capacity, pool: newPool(slots, Pages(capacity), pages), lengths: make([]int, slots), long: make([]bool, slots)}
	if err := allocate(m.device, CachePurpose, func(a *arena) { c.buffer = a.buffer; m.cutCache(a, c) }); err != nil {
		return nil, err
	}
	counting := make([]int32, 2*len(m.Layers))
	for i := range counting {
		counting[i] = int32(i)
	}
	return c, native.Upload(m.device, c.planes, counting)
}

// CachePurpose names the cache's memory.
const CachePurpose = "KV cache"

func (m *Model) cutCache(a *arena, c *Cache) {
	rows := c.pool.pages * PageSize
	c.states = a.tensor(m.compute, 2*len(m.Layers)*rows, m.Config.KVSize())
	c.keys, c.values = make([]native.Tensor, len(m.Layers)), make([]native.Tensor, len(m.Layers))
	for i := range m.Layers {
		c.keys[i], c.values[i] = c.states.Row(2*i*rows), c.states.Row((2*i+1)*rows)
	}
	c.planes = a.tensor(native.Int32, 1, 2*len(m.Layers))
	c.table = a.tensor(native.Int32, c.slots, c.pool.perSlot)
}

// CacheBytes is the memory of one page, in all layers together.
func (m *Model) CacheBytes() int64 {
	return int64(2*len(m.Layers)) * PageSize * int64(m.Config.KVSize()) * int64(m.compute.Size())
}

// Vacant is the number of pages that no sequence holds.
func (c *Cache) Vacant() int { return len(c.pool.vacant) }

// Missing is how many pages a slot lacks for a sequence of length tokens.
func (c *Cache) Missing(slot, length int) int { return max(0, Pages(length)-len(c.pool.held[slot])) }

// upload copies the page table to the device if it has changed.
func (c *Cache) upload(m *Model) error {
	if !c.pool.changed {
		return nil
	}
	c.pool.changed = false
	return native.Upload(m.device, c.table, c.pool.table)
}

func (c *Cache) store(m *Model, rows, layer int, k, v native.Tensor) {
	m.device.KVStore(&native.KVStore{Rows: int64(rows), Columns: int64(m.Config.KVSize()), Slots: int64(c.slots),
		Capacity: int64(c.pool.perSlot * PageSize), PageSize: PageSize, PageCount: int64(c.pool.pages), Pages: c.table,
		K: k, V: v, CacheK: c.keys[layer], CacheV: c.values[layer], Slot: m.batch.slot, Position: m.batch.position})
}

func (c *Cache) attend(m *Model, rows, layer int, q, out native.Tensor) {
	f := m.Config
	m.device.AttentionCached(&native.AttentionCached{Rows: int64(rows), Heads: int64(f.NumAttentionHeads), KVHeads: int64(f.NumKeyValueHeads),
		HeadDim: int64(f.HeadDim()), Window: int64(f.SlidingWindow), Slots: int64(c.slots), Capacity: int64(c.pool.perSlot * PageSize),
		PageSize: PageSize, PageCount: int64(c.pool.pages), Pages: c.table, Scale: m.scale(),
		Q: q, CacheK: c.keys[layer], CacheV: c.values[layer], Slot: m.batch.slot, Position: m.batch.position, Out: out})
}

// Pick is which of a piece's tokens are picked: their logits are wanted.
type Pick int

const (
	PickLast Pick = iota
	PickNone
	PickEvery
)

// Piece is tokens to append to one slot.
type Piece struct {
	Slot  int
	IDs   []int32
	Whole int // of Fill: tokens of the whole sequence of which IDs is the beginning; 0: IDs is all of it
	Pick  Pick
	// Targets are tokens whose log-probability is wanted (see Picked): behind each token where every one is picked, all of
	// them behind the last token where that is picked, once for each.
	Targets []int32
}

// Fill computes sequences, or their beginnings, into slots, replacing what they held. All of them together must fit one
// pass.
func (m *Model) Fill(c *Cache, pieces []Piece, adapter bool) error {
	r := &row{}
	for _, p := range pieces {
		if p.Whole == 0 {
			p.Whole = len(p.IDs)
		}
		if err := m.checkLength(p.Whole); err != nil {
			return err
		}
		if p.Whole > c.capacity {
			return fmt.Errorf("a sequence of %d tokens for a cache of %d", p.Whole, c.capacity)
		}
		base := m.rope.base(p.Whole)
		c.Truncate(p.Slot, 0)
		c.long[p.Slot] = base != 0
		first := len(r.ids)
		r.append(base, Sequence{IDs: p.IDs}, int32(p.Slot))
		r.pick(p, first)
	}
	return m.extend(c, pieces, r, &pass{adapter: adapter, cache: c, fill: true})
}

// Extend appends tokens to slots. It must not take a slot of a longrope model past original_max_position_embeddings: see
// Outgrows.
func (m *Model) Extend(c *Cache, pieces []Piece, adapter bool) error {
	r := &row{}
	for _, p := range pieces {
		length := c.lengths[p.Slot]
		if length+len(p.IDs) > c.capacity {
			return fmt.Errorf("slot %d of the cache: %d tokens and %d more, capacity %d", p.Slot, length, len(p.IDs), c.capacity)
		}
		base := 0
		if c.long[p.Slot] {
			base = m.rope.positions
		}
		first := len(r.ids)
		for i, id := range p.IDs {
			r.ids = append(r.ids, id)
			r.position = append(r.position, int32(length+i))
			r.rope = append(r.rope, int32(base+length+i))
			r.slot = append(r.slot, int32(p.Slot))
			r.sample = append(r.sample, 0)
		}
		r.pick(p, first)
	}
	return m.extend(c, pieces, r, &pass{adapter: adapter, cache: c})
}

// extend gives the pieces of a row their pages and runs the layers on it.
func (m *Model) extend(c *Cache, pieces []Piece, r *row, p *pass) error {
	if err := m.upload(r); err != nil {
		return err
	}
	for _, piece := range pieces {
		if err := c.grow(piece.Slot, len(piece.IDs)); err != nil {
			return err
		}
	}
	if err := c.upload(m); err != nil {
		return err
	}
	p.rows = m.batch.rows
	if !p.fill && len(pieces) == p.rows {
		return c.decode(m, p)
	}
	m.runLayers(p)
	return m.device.Err()
}

// Fork makes an empty slot continue the first length tokens of another: whole pages are shared, the rest of the last one is
// copied. The pool must have a page for it.
func (m *Model) Fork(c *Cache, from, to, length int) error {
	whole, rest := length/PageSize, length%PageSize
	if c.lengths[to] != 0 || length > c.lengths[from] || rest > 0 && c.Vacant() == 0 {
		return fmt.Errorf("fork of %d tokens from a slot of %d to one of %d, %d pages are free", length, c.lengths[from], c.lengths[to], c.Vacant())
	}
	c.pool.share(from, to, whole)
	c.lengths[to], c.long[to] = length, c.long[from]
	if rest == 0 {
		return nil
	}
	c.pool.resize(to, whole+1)
	width := m.Config.KVSize()
	page := func(slot int) native.Tensor { // of keys and values of all layers, a row each
		return c.states.Row(int(c.pool.held[slot][whole]) * PageSize).WithStride(c.pool.pages * PageSize * width)
	}
	planes := int64(2 * len(m.Layers))
	m.device.GatherRows(&native.GatherRows{Rows: planes, Columns: int64(rest * width), XRows: planes, Index: c.planes, X: page(from), Y: page(to)})
	return m.device.Err()
}

// Forks reports whether a sequence of length tokens may continue a slot's: not if only one of them uses longrope's long
// factors.
func (m *Model) Forks(c *Cache, slot, length int) bool {
	return c.long[slot] == (m.rope.base(length) != 0)
}

// grow gives a slot the pages for n more tokens.
func (c *Cache) grow(slot, n int) error {
	if missing := c.Missing(slot, c.lengths[slot]+n); missing > c.Vacant() {
		return fmt.Errorf("slot %d of the cache: %d tokens and %d more need %d pages, %d are free", slot, c.lengths[slot], n, missing, c.Vacant())
	}
	if n > 0 && c.pool.shared(slot, c.lengths[slot]) {
		return fmt.Errorf("slot %d of the cache: token %d lies in a page that another slot reads", slot, c.lengths[slot])
	}
	c.lengths[slot] += n
	c.pool.resize(slot, Pages(c.lengths[slot]))
	return nil
}

// Truncate drops a slot's tokens beyond the first length and returns their pages to the pool.
func (c *Cache) Truncate(slot, length int) {
	c.lengths[slot] = min(c.lengths[slot], length)
	c.pool.resize(slot, Pages(c.lengths[slot]))
}

// Length is the number of tokens in a slot.
func (c *Cache) Length(slot int) int { return c.lengths[slot] }

// Outgrows reports whether n more tokens take a slot past original_max_position_embeddings. Its keys must then be
// recomputed with the long factors, by Fill, as transformers does.
func (m *Model) Outgrows(c *Cache, slot, n int) bool {
	return !c.long[slot] && m.rope.base(c.lengths[slot]+n) != 0
}

// Filled is how many of a sequence's total tokens were computed by Fill rather than one by one: the prompt or, once the
// sequence outgrew longrope's short factors, all tokens up to the one that did.
func (m *Model) Filled(prompt, total int) int {
	if m.rope.base(prompt) == m.rope.base(total) {
		return prompt
	}
	return m.rope.originalMax + 1
}
