package phi3

import "so8t/native"

// fewRows is the largest number of rows for which launches dominate the time of a decoding step: some hundred operations
// on very little data. Such a step is recorded once and replayed, on a GPU as a CUDA graph, which is one launch.
const fewRows = 64

// step is the key of a recorded step.
type step struct {
	rows    int
	adapter bool
}

// decode runs the layers on one new token for each row.
func (c *Cache) decode(m *Model, p *pass) error {
	if p.rows > fewRows {
		m.runLayers(p)
		return m.device.Err()
	}
	key := step{p.rows, p.adapter}
	if r := c.recorded[key]; r != nil {
		r.Replay()
		return m.device.Err()
	}
	r, err := m.device.Record(func() { m.runLayers(p) })
	if err != nil {
		return err
	}
	if c.recorded == nil {
		c.recorded = map[step]*native.Recording{}
	}
	c.recorded[key] = r
	return nil
}

// FreeCache returns the cache's memory.
func (m *Model) FreeCache(c *Cache) {
	for _, r := range c.recorded {
		r.Free()
	}
	m.device.Free(c.buffer)
}
