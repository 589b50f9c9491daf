package phi3

import "so8t/native"

// activations are what one layer's forward pass leaves for its backward pass. What a linear with an adapter
// reads has z, and what becomes its output's gradient has dz, directly behind it in the same rows: [x | z] times
// [W | B] is one product then, and so is [dy | dz] times [W ; A].
type activations struct {
	input     native.Tensor // [T, C] residual stream entering the layer
	norm1     native.Tensor // [T, C | z of qkv_proj]
	qkv       native.Tensor // [T, (H+2KV)·D], rotated by position
	attention native.Tensor // [T, H·D | z of o_proj, where there is no gate]
	rotated   native.Tensor // [T, H·D | z of o_proj] after the SO(8) gate, where there is one
	mid       native.Tensor // [T, C] residual stream after attention
	norm2     native.Tensor // [T, C | z of gate_up_proj]
	gateUp    native.Tensor // [T, 2I | dz of gate_up_proj]
	hidden    native.Tensor // [T, I | z of down_proj]

	rstd1, rstd2 native.Tensor // float32 [T]
	lse          native.Tensor // float32 [H, T]
}

// scratch is shared by all layers: what lives only within one layer's pass, or at the ends of the model. The gradient of
// a linear's input needs no room: it takes the input's own place, which nobody reads any more.
type scratch struct {
	output          native.Tensor // [T, C] residual stream leaving the last layer
	dx              native.Tensor // [T, C | dz of down_proj, then of o_proj] gradient of the residual stream
	dattention      native.Tensor // [T, H·D] where there is no gate: there attention is o_proj's input and is read again
	dqkv            native.Tensor // [T, (H+2KV)·D | dz of qkv_proj]
	picked, pickedN native.Tensor // [T, C] rows with a target: residual stream, normalised and then its gradient
	pickedR         native.Tensor // float32 [T]
	logits          native.Tensor // [logitRows, V]
	logits32        native.Tensor // float32 [logitRows, V], the same memory where compute is float32
	loss            native.Tensor // float32 [T]
	u               native.Tensor // float32 [logitRows] random numbers
	choice          native.Tensor // int32 [logitRows] the tokens chosen
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

// beside leaves room for z or dz behind each row, if there is any: rows then begin on 16 bytes of bfloat16.
func (a *arena) beside(dtype native.DType, rows, columns, z int) native.Tensor {
	if z > 0 {
		columns = (columns + z + 7) &^ 7
	}
	return a.tensor(dtype, rows, columns)
}

// either cuts the same memory in two ways.
func (a *arena) either(one, other func()) {
	start := a.bytes
	one()
	end := a.bytes
	a.bytes = start
	other()
	a.bytes = max(a.bytes, end)
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

// cutSaved gives each layer what is kept of it, and what is not kept the first layer's.
func (m *Model) cutSaved(a *arena, t int, training bool) {
	m.saved = make([]activations, len(m.Layers))
	for i := range m.saved {
		s := &m.saved[i]
		*s = m.saved[0]
		if i == 0 || m.saves != SavedInputs {
			m.cutAttention(a, s, t)
		}
		if i == 0 || m.saves == SavedAll {
			m.cutActivations(a, s, t, training)
		}
	}
}

// cutAttention is what attention reads and writes.
func (m *Model) cutAttention(a *arena, s *activations, t int) {
	c := m.Config
	z := 0
	if m.ungated {
		z = m.adapterColumns[oProj]
	}
	s.qkv = a.tensor(m.compute, t, c.QKVSize())
	s.attention = a.beside(m.compute, t, c.HiddenSize, z)
	s.lse = a.tensor(native.Float32, c.NumAttentionHeads, t)
}

// cutActivations is all the rest.
func (m *Model) cutActivations(a *arena, s *activations, t int, training bool) {
	c, dt := m.Config, m.compute
	h, z := c.HiddenSize, m.adapterColumns
	dz := 0
	if training {
		dz = z[gateUpProj]
	}
	s.norm1 = a.beside(dt, t, h, z[qkvProj])
	if m.gated {
		s.rotated = a.beside(dt, t, h, z[oProj])
	}
	s.mid = a.tensor(dt, t, h)
	s.norm2 = a.beside(dt, t, h, z[gateUpProj])
	s.gateUp = a.beside(dt, t, 2*c.IntermediateSize, dz)
	s.hidden = a.beside(dt, t, c.IntermediateSize, z[downProj])
	s.rstd1 = a.tensor(native.Float32, 1, t)
	s.rstd2 = a.tensor(native.Float32, 1, t)
}

const logitBytes = 64 << 20 // of one chunk of logits: enough rows for full speed, not all of them

func (m *Model) cutScratch(a *arena, t int, training bool) {
	c, dt, s := m.Config, m.compute, &m.scratch
	h := c.HiddenSize
	s.output = a.tensor(dt, t, h)
	s.pickedR = a.tensor(native.Float32, 1, t)
	s.loss = a.tensor(native.Float32, 1, t)
	s.logitRows = min(t, max(16, logitBytes/4/c.VocabSize))
	s.u = a.tensor(native.Float32, 1, s.logitRows)
	s.choice = a.tensor(native.Int32, 1, s.logitRows)
	z := m.adapterColumns
	if training {
		s.dx = a.beside(dt, t, h, max(z[downProj], z[oProj]))
	}
	// What the end of the model needs and what a layer's backward pass needs take turns.
	a.either(func() {
		s.picked = a.tensor(dt, t, h)
		s.pickedN = a.tensor(dt, t, h)
		s.logits32 = a.tensor(native.Float32, s.logitRows, c.VocabSize)
		s.logits = s.logits32
		if dt != native.Float32 && s.logits32.Buffer != 0 {
			s.logits.DType = dt // the same memory: a pass uses one of the two
		}
	}, func() {
		if !training {
			return
		}
		s.dqkv = a.beside(dt, t, c.QKVSize(), z[qkvProj])
		if m.ungated {
			s.dattention = a.tensor(dt, t, h)
		}
	})
}
