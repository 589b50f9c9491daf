package phi3

import (
	"fmt"

	"so8t/native"
)

// Cache holds keys and values of several sequences for decoding: per layer [slots, capacity, KV·D].
type Cache struct {
	slots, capacity int
	buffer          native.Buffer
	keys, values    []native.Tensor // by layer, [slots·capacity, KV·D]
	pages           native.Tensor   // int32 [slots]: a page holds a whole slot
	lengths         []int           // tokens held, by slot
	long            []bool          // computed with longrope's long factors
}

// NewCache makes room for slots sequences of at most capacity tokens.
func (m *Model) NewCache(slots, capacity int) (*Cache, error) {
	if slots < 1 || slots > m.options.MaxTokens {
		return nil, fmt.Errorf("a cache of %d slots; passes take 1 to %d rows", slots, m.options.MaxTokens)
	}
	if err := m.checkLength(capacity); err != nil {
		return nil, err
	}
	c := &Cache{slots: slots, capacity: capacity, lengths: make([]int, slots), long: make([]bool, slots)}
	pages := make([]int32, slots)
	for i := range pages {
		pages[i] = int32(i)
	}
	err := allocate(m.device, "KV cache", func(a *arena) {
		c.buffer, c.keys, c.values = a.buffer, nil, nil
		for range m.Layers {
			c.keys = append(c.keys, a.tensor(m.compute, slots*capacity, m.Config.KVSize()))
			c.values = append(c.values, a.tensor(m.compute, slots*capacity, m.Config.KVSize()))
		}
		c.pages = a.tensor(native.Int32, 1, slots)
	})
	if err != nil {
		return nil, err
	}
	return c, native.Upload(m.device, c.pages, pages)
}

// Free returns the cache's memory.
func (m *Model) FreeCache(c *Cache) { m.device.Free(c.buffer) }

func (c *Cache) store(m *Model, rows, layer int, k, v native.Tensor) {
	m.device.KVStore(&native.KVStore{Rows: int64(rows), Columns: int64(m.Config.KVSize()), Slots: int64(c.slots), Capacity: int64(c.capacity), PageSize: int64(c.capacity), PageCount: int64(c.slots), Pages: c.pages,
		K: k, V: v, CacheK: c.keys[layer], CacheV: c.values[layer], Slot: m.batch.slot, Position: m.batch.position})
}

func (c *Cache) attend(m *Model, rows, layer int, q, out native.Tensor) {
	f := m.Config
	m.device.AttentionCached(&native.AttentionCached{Rows: int64(rows), Heads: int64(f.NumAttentionHeads), KVHeads: int64(f.NumKeyValueHeads), HeadDim: int64(f.HeadDim()),
		Window: int64(f.SlidingWindow), Slots: int64(c.slots), Capacity: int64(c.capacity), PageSize: int64(c.capacity), PageCount: int64(c.slots), Pages: c.pages, Scale: m.scale(), Q: q, CacheK: c.keys[layer], CacheV: c.values[layer],
		Slot: m.batch.slot, Position: m.batch.position, Out: out})
}

// Extension is what to append to one slot.
type Extension struct {
	Slot  int
	IDs   []int32
	Every bool // pick each token, otherwise only the last
}

// Fill computes whole sequences into slots, forgetting what they held, and picks each one's last token: see
// PickedLogits and PickedArgmax. The tokens of all of them together must fit one pass.
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
	for i, slot := range slots {
		c.lengths[slot], c.long[slot] = len(sequences[i]), m.rope.base(len(sequences[i])) != 0
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
		c.lengths[e.Slot] += len(e.IDs)
	}
	m.runLayers(&pass{rows: m.batch.rows, adapter: adapter, cache: c})
	return m.device.Err()
}

// Truncate forgets a slot's tokens beyond the first length.
func (c *Cache) Truncate(slot, length int) { c.lengths[slot] = min(c.lengths[slot], length) }

// Length is the number of tokens in a slot.
func (c *Cache) Length(slot int) int { return c.lengths[slot] }

// Outgrows reports whether n more tokens take a slot past original_max_position_embeddings: then all of its
// keys must be computed anew with the long factors, by Fill, as transformers does.
func (m *Model) Outgrows(c *Cache, slot, n int) bool {
	return !c.long[slot] && m.rope.base(c.lengths[slot]+n) != 0
}
