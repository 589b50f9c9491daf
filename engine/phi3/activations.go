package phi3

import "so8t/native"

// activations are what one layer's forward pass saves for its backward pass. The LoRA part of a linear lies next to the
// rows it belongs to: z = x Aᵀ after the input x, dz after the output's gradient dy. The forward pass is then the single
// product [x | z] · [W | B]ᵀ, and the input's gradient the single product [dy | dz] · [W ; A].
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

// scratch is shared by all layers: tensors that live within one layer's pass, or before the first and after the last layer.
// The gradient of a linear's input has no tensor here: it overwrites the input, which is not read again.
type scratch struct {
	output          native.Tensor // [T, C] residual stream leaving the last layer
	dx              native.Tensor // [T, C | dz of down_proj, then of o_proj] gradient of the residual stream
	dattention      native.Tensor // [T, H·D] of layers without a gate, where o_proj's input is attention itself, which is read again
	dqkv            native.Tensor // [T, (H+2KV)·D | dz of qkv_proj]
	picked, pickedN native.Tensor // [T, C] picked rows of the residual stream; their norm, then its gradient
	pickedR         native.Tensor // float32 [T]
	logits          native.Tensor // [logitRows, V]
	logits32        native.Tensor // float32 [logitRows, V], the same memory where compute is float32
	loss            native.Tensor // float32 [T]
	u               native.Tensor // float32 [logitRows] random numbers
	choice          native.Tensor // int32 [logitRows] the tokens chosen
	logitRows       int
}

// arena cuts tensors out of one buffer, each on a 64-byte boundary. The same code runs twice: first to size the buffer,
// then to cut it.
type arena struct {
	buffer native.Buffer // zero while sizing
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

// beside adds z columns to each row for the LoRA part, if any, rounded up so that rows of bfloat16 begin on 16 bytes.
func (a *arena) beside(dtype native.DType, rows, columns, z int) native.Tensor {
	if z > 0 {
		columns = (columns + z + 7) &^ 7
	}
	return a.tensor(dtype, rows, columns)
}

// either cuts the same memory for one of two uses.
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

// cutSaved gives each layer memory of its own for what is saved; for the rest all layers share the first one's.
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

// cutAttention cuts what attention reads and writes.
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

// cutActivations cuts everything but attention's part.
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

const logitBytes = 64 << 20 // of one chunk of logits: enough rows for full speed

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
	// The head's tensors are no longer needed when the layers' backward passes begin.
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
