package phi3

import "so8t/native"

// activations are what one layer's forward pass leaves for its backward pass.
type activations struct {
	input     native.Tensor // [T, C] residual stream entering the layer
	norm1     native.Tensor // [T, C]
	qkv       native.Tensor // [T, (H+2KV)·D], rotated by position
	attention native.Tensor // [T, H·D]
	rotated   native.Tensor // [T, H·D] after the SO(8) gate; attention itself where there is none
	mid       native.Tensor // [T, C] residual stream after attention
	norm2     native.Tensor // [T, C]
	gateUp    native.Tensor // [T, 2I]
	hidden    native.Tensor // [T, I]

	zQKV, zO, zGateUp, zDown native.Tensor // [T, columns of the adapter]
	rstd1, rstd2             native.Tensor // float32 [T]
	lse                      native.Tensor // float32 [H, T]
}

// scratch is shared by all layers: what lives only within one layer's pass, or at the ends of the model.
type scratch struct {
	output          native.Tensor // [T, C] residual stream leaving the last layer
	dx              native.Tensor // [T, C] gradient of the residual stream
	dnorm           native.Tensor // [T, C]
	dattention      native.Tensor // [T, H·D]
	dqkv            native.Tensor // [T, (H+2KV)·D]
	dhidden         native.Tensor // [T, I]
	dz              native.Tensor // [T, widest adapter]
	picked, pickedN native.Tensor // [T, C] rows with a target: residual stream, normalised
	pickedR         native.Tensor // float32 [T]
	dpicked         native.Tensor // [T, C]
	logits          native.Tensor // [logitRows, V]
	logits32        native.Tensor // float32 [logitRows, V], the same memory where compute is float32
	loss            native.Tensor // float32 [T]
	argmax          native.Tensor // int32 [logitRows]
	logitRows       int
}

// arena hands out tensors of one buffer, each on a 64-byte boundary; sizing it first and cutting it then
// walks the same code twice.
type arena struct {
	buffer native.Buffer // zero on the sizing walk
	bytes  int
}

func (a *arena) tensor(dtype native.DType, rows, columns int) native.Tensor {
	offset := a.bytes
	a.bytes += (rows*columns*dtype.Size() + 63) &^ 63
	if a.buffer == (native.Buffer{}) {
		return native.Tensor{}
	}
	return a.buffer.Tensor(dtype, offset/dtype.Size(), columns)
}

func allocate(d *native.Device, purpose string, cut func(*arena)) error {
	var size arena
	cut(&size)
	buffer, err := d.Alloc(int64(size.bytes), purpose)
	if err != nil {
		return err
	}
	cut(&arena{buffer: buffer})
	return nil
}

func (m *Model) cutActivations(a *arena, s *activations, t int, input bool) {
	c, dt := m.Config, m.compute
	h := c.HiddenSize
	if input {
		s.input = a.tensor(dt, t, h)
	}
	s.norm1 = a.tensor(dt, t, h)
	s.qkv = a.tensor(dt, t, c.QKVSize())
	s.attention = a.tensor(dt, t, h)
	s.rotated = s.attention
	if m.gated {
		s.rotated = a.tensor(dt, t, h)
	}
	s.mid = a.tensor(dt, t, h)
	s.norm2 = a.tensor(dt, t, h)
	s.gateUp = a.tensor(dt, t, 2*c.IntermediateSize)
	s.hidden = a.tensor(dt, t, c.IntermediateSize)
	for i, z := range []*native.Tensor{&s.zQKV, &s.zO, &s.zGateUp, &s.zDown} {
		if n := m.adapterColumns[i]; n > 0 {
			*z = a.tensor(dt, t, n)
		}
	}
	s.rstd1 = a.tensor(native.Float32, 1, t)
	s.rstd2 = a.tensor(native.Float32, 1, t)
	s.lse = a.tensor(native.Float32, c.NumAttentionHeads, t)
}

const logitBytes = 64 << 20 // of one chunk of logits: enough rows for full speed, not all of them

func (m *Model) cutScratch(a *arena, t int, training bool) {
	c, dt, s := m.Config, m.compute, &m.scratch
	h := c.HiddenSize
	s.output = a.tensor(dt, t, h)
	s.picked = a.tensor(dt, t, h)
	s.pickedN = a.tensor(dt, t, h)
	s.pickedR = a.tensor(native.Float32, 1, t)
	s.loss = a.tensor(native.Float32, 1, t)
	s.logitRows = min(t, max(16, logitBytes/4/c.VocabSize))
	s.logits32 = a.tensor(native.Float32, s.logitRows, c.VocabSize)
	s.logits = s.logits32
	if dt != native.Float32 && s.logits32.Buffer != 0 {
		s.logits.DType = dt // the same memory: a pass uses one of the two
	}
	s.argmax = a.tensor(native.Int32, 1, s.logitRows)
	if !training {
		return
	}
	s.dx = a.tensor(dt, t, h)
	s.dnorm = a.tensor(dt, t, h)
	s.dattention = a.tensor(dt, t, h)
	s.dqkv = a.tensor(dt, t, c.QKVSize())
	s.dhidden = a.tensor(dt, t, c.IntermediateSize)
	s.dpicked = a.tensor(dt, t, h)
	widest := 0
	for _, n := range m.adapterColumns {
		widest = max(widest, n)
	}
	if widest > 0 {
		s.dz = a.tensor(dt, t, widest)
	}
}
