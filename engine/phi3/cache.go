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
	keys, values    []native.Tensor // by layer, [pages·PageSize, KV·D]
	pool            *pool
	table           native.Tensor // int32 [slots, pages of a slot]
	lengths         []int         // tokens held, by slot
	long            []bool        // computed with longrope's long factors
	recorded        map[step]*native.Recording
}

// NewCache allocates a pool of pages for up to slots sequences of at most capacity tokens.
func (m *Model) NewCache(slots, capacity, pages int) (*Cache, error) {
	if slots < 1 || slots > m.options.MaxTokens {
		return nil, fmt.Errorf("a cache of %d slots; passes take 1 to %d rows", slots, m.options.MaxTokens)
	}
	if err := m.checkLength(capacity); err != nil {
		return nil, err
	}
	if pages < 1 {
		return nil, fmt.Errorf("a cache of %d pages", pages)
	}
	c := &Cache{slots: slots, capacity: capacity, pool: newPool(slots, Pages(capacity), pages), lengths: make([]int, slots), long: make([]bool, slots)}
	err := allocate(m.device, CachePurpose, func(a *arena) {
		c.buffer, c.keys, c.values = a.buffer, nil, nil
		m.cutCache(a, c)
	})
	return c, err
}

// CachePurpose names the cache's memory.
const CachePurpose = "KV cache"

func (m *Model) cutCache(a *arena, c *Cache) {
	for range m.Layers {
		c.keys = append(c.keys, a.tensor(m.compute, c.pool.pages*PageSize, m.Config.KVSize()))
		c.values = append(c.values, a.tensor(m.compute, c.pool.pages*PageSize, m.Config.KVSize()))
	}
	c.table = a.tensor(native.Int32, c.slots, c.pool.perSlot)
}

// CacheBytes is the memory of one page, in all layers together.
func (m *Model) CacheBytes() int64 {
	return int64(2*len(m.Layers)) * PageSize * int64(m.Config.KVSize()) * int64(m.compute.Size())
}

// Vacant is the number of pages that no sequence holds.
func (c *Cache) Vacant() int { return len(c.pool.vacant) }

// Missing is how many pages a slot lacks for n more tokens.
func (c *Cache) Missing(slot, n int) int {
	return max(0, Pages(c.lengths[slot]+n)-len(c.pool.held[slot]))
}

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

// Extension is tokens to append to one slot.
type Extension struct {
	Slot  int
	IDs   []int32
	Every bool // pick each token, otherwise only the last
}

// Fill computes whole sequences into slots, replacing what they held, and picks each one's last token (see PickedLogits
// and PickedTokens). All of them together must fit one pass.
func (m *Model) Fill(c *Cache, sequences [][]int32, slots []int, adapter bool) error {
	r := &row{}
	for i, ids := range sequences {
		if err := m.checkLength(len(ids)); err != nil {
			return err
		}
		if len(ids) > c.capacity {
			return fmt.Errorf("a sequence of %d tokens for a cache of %d", len(ids), c.capacity)
		}
		r.append(m, Sequence{IDs: ids}, int32(slots[i]))
		r.pickLast()
	}
	if err := m.upload(r); err != nil {
		return err
	}
	for _, slot := range slots {
		c.Truncate(slot, 0)
	}
	for i, slot := range slots {
		if err := c.grow(slot, len(sequences[i])); err != nil {
			return err
		}
		c.long[slot] = m.rope.base(len(sequences[i])) != 0
	}
	if err := c.upload(m); err != nil {
		return err
	}
	m.runLayers(&pass{rows: m.batch.rows, adapter: adapter, cache: c, fill: true})
	return m.device.Err()
}

// Extend appends tokens to slots and picks each slot's last token, or every one. It must not take a slot of a longrope
// model past original_max_position_embeddings: see Outgrows.
func (m *Model) Extend(c *Cache, extensions []Extension, adapter bool) error {
	r := &row{}
	for _, e := range extensions {
		length := c.lengths[e.Slot]
		if length+len(e.IDs) > c.capacity {
			return fmt.Errorf("slot %d of the cache: %d tokens and %d more, capacity %d", e.Slot, length, len(e.IDs), c.capacity)
		}
		base := 0
		if c.long[e.Slot] {
			base = m.rope.positions
		}
		for i, id := range e.IDs {
			r.ids = append(r.ids, id)
			r.position = append(r.position, int32(length+i))
			r.rope = append(r.rope, int32(base+length+i))
			r.slot = append(r.slot, int32(e.Slot))
			r.sample = append(r.sample, 0)
			if e.Every {
				r.pickLast()
			}
		}
		if !e.Every {
			r.pickLast()
		}
	}
	if err := m.upload(r); err != nil {
		return err
	}
	for _, e := range extensions {
		if err := c.grow(e.Slot, len(e.IDs)); err != nil {
			return err
		}
	}
	if err := c.upload(m); err != nil {
		return err
	}
	p := &pass{rows: m.batch.rows, adapter: adapter, cache: c}
	if len(extensions) == p.rows {
		return c.decode(m, p)
	}
	m.runLayers(p)
	return m.device.Err()
}

// grow gives a slot the pages for n more tokens.
func (c *Cache) grow(slot, n int) error {
	if missing := c.Missing(slot, n); missing > c.Vacant() {
		return fmt.Errorf("slot %d of the cache: %d tokens and %d more need %d pages, %d are free", slot, c.lengths[slot], n, missing, c.Vacant())
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
