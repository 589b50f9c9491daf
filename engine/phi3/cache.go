package phi3

import (
	"fmt"

	"so8t/native"
)

// PageSize is how many positions of one sequence a page of the cache holds: little is left empty at a sequence's
// end, and a page is long enough to be read at full speed.
const PageSize = 64

// Cache holds keys and values of several sequences for decoding, in pages that the sequences take from one pool
// as they grow and give back (Kwon et al., arXiv 2309.06180): so there may be more room for sequences than
// memory for all of them at their longest.
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

// NewCache makes room for slots sequences of at most capacity tokens, in a pool of pages.
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

// CacheBytes is the memory that a page takes in all layers.
func (m *Model) CacheBytes() int64 {
	return int64(2*len(m.Layers)) * PageSize * int64(m.Config.KVSize()) * int64(m.compute.Size())
}

// Vacant is the number of pages that no sequence holds.
func (c *Cache) Vacant() int { return len(c.pool.vacant) }

// Missing is how many pages a slot has to take before it holds n more tokens.
func (c *Cache) Missing(slot, n int) int {
	return max(0, Pages(c.lengths[slot]+n)-len(c.pool.held[slot]))
}

// upload hands the table of pages to the device, if it is another than there.
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

// Extension is what to append to one slot.
type Extension struct {
	Slot  int
	IDs   []int32
	Every bool // pick each token, otherwise only the last
}

// Fill computes whole sequences into slots, forgetting what they held, and picks each one's last token: see
// PickedLogits and PickedTokens. The tokens of all of them together must fit one pass.
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

// Extend appends tokens to slots and picks the tokens asked for, in order. A slot must not pass
// original_max_position_embeddings of a longrope model here: see Outgrows.
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

// grow takes the pages that a slot needs for n more tokens.
func (c *Cache) grow(slot, n int) error {
	if missing := c.Missing(slot, n); missing > c.Vacant() {
		return fmt.Errorf("slot %d of the cache: %d tokens and %d more need %d pages, %d are free", slot, c.lengths[slot], n, missing, c.Vacant())
	}
	c.lengths[slot] += n
	c.pool.resize(slot, Pages(c.lengths[slot]))
	return nil
}

// Truncate forgets a slot's tokens beyond the first length and gives their pages back.
func (c *Cache) Truncate(slot, length int) {
	c.lengths[slot] = min(c.lengths[slot], length)
	c.pool.resize(slot, Pages(c.lengths[slot]))
}

// Length is the number of tokens in a slot.
func (c *Cache) Length(slot int) int { return c.lengths[slot] }

// Outgrows reports whether n more tokens take a slot past original_max_position_embeddings: then all of its
// keys must be computed anew with the long factors, by Fill, as transformers does.
func (m *Model) Outgrows(c *Cache, slot, n int) bool {
	return !c.long[slot] && m.rope.base(c.lengths[slot]+n) != 0
}

// Filled is how many tokens of a sequence came by Fill, where a prompt was continued token by token until there
// were total: the prompt, or all up to the one with which longrope's long factors began.
func (m *Model) Filled(prompt, total int) int {
	if m.rope.base(prompt) == m.rope.base(total) {
		return prompt
	}
	return m.rope.originalMax + 1
}
