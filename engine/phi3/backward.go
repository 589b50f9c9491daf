package phi3

import "so8t/native"

// Train runs packed sequences forward and backward, adds to the adapters' gradients and returns the loss of each target.
// targets is the number of targets in the whole optimizer step: the loss is the mean over them.
func (m *Model) Train(sequences []Sequence, targets int, dropout Dropout) ([]float32, error) {
	r, err := m.pack(sequences)
	if err != nil {
		return nil, err
	}
	if len(r.picked) == 0 {
		return nil, nil
	}
	if err := m.upload(r); err != nil {
		return nil, err
	}
	p := &pass{rows: m.batch.rows, dropout: dropout, adapter: true}
	m.runLayers(p)
	m.headBackward(1 / float64(targets))
	for i := len(m.Layers) - 1; i >= 0; i-- {
		s := m.activationsOf(i)
		if m.saves != SavedAll && i < len(m.Layers)-1 { // the shared memory still holds the last layer's
			m.layerAgain(p, i, s)
		}
		m.layerBackward(p, i, s)
	}
	return m.losses()
}

// headBackward computes losses and the gradient of the last layer's output, for the picked rows only.
func (m *Model) headBackward(scale float64) {
	s, c, d := &m.scratch, m.Config, m.device
	n := m.batch.pickedRows
	m.pick()
	_ = m.chunks(func(first, rows int) error {
		m.lmHead(first, rows, s.logits)
		d.CrossEntropyBackward(&native.CrossEntropy{Rows: int64(rows), Columns: int64(c.VocabSize), Logits: s.logits,
			Target: m.batch.target.Column(first), Loss: s.loss.Column(first), Scale: scale})
		d.LinearBackward(&native.LinearBackward{Rows: int64(rows), In: int64(c.HiddenSize), Out: int64(c.VocabSize), DY: s.logits, W: m.head,
			DX: s.pickedN.Row(first)})
		return nil
	})
	d.RMSNormBackward(&native.RMSNormBackward{Rows: int64(n), Columns: int64(c.HiddenSize), X: s.picked, Weight: m.norm, RStd: s.pickedR,
		DY: s.pickedN, DX: s.pickedN})
	d.ScatterRows(&native.ScatterRows{Rows: int64(n), Columns: int64(c.HiddenSize), YRows: int64(m.batch.rows), Index: m.batch.picked, X: s.pickedN, Y: s.dx})
}

// layerBackward turns scratch.dx from the gradient of the layer's output into that of its input, which the first layer
// does without, as the embedding is frozen. Each linear's input is overwritten by its gradient.
func (m *Model) layerBackward(p *pass, i int, a *activations) {
	l, s, c, d := &m.Layers[i], &m.scratch, m.Config, m.device
	rows := int64(p.rows)

	m.backward(p, i, &l.Down, a.hidden, s.dx, a.hidden)
	d.SwiGLUBackward(&native.SwiGLUBackward{Rows: rows, Columns: int64(c.IntermediateSize), GateUp: a.gateUp, DY: a.hidden, DGateUp: a.gateUp})
	m.backward(p, i, &l.GateUp, a.norm2, a.gateUp, a.norm2)
	m.rmsnormBackward(rows, a.mid, l.norm2, a.rstd2, a.norm2)

	dattention := s.dattention
	if g := l.Gate; g != nil {
		dattention = a.rotated
		m.backward(p, i, &l.O, a.rotated, s.dx, dattention)
		d.RotateBackward(&native.RotateBackward{Rows: rows, Blocks: m.blocks(), X: a.attention, Rotation: g.Rotation, DY: dattention, DX: dattention,
			DRotation: g.RotationGrad})
	} else {
		m.backward(p, i, &l.O, a.attention, s.dx, dattention)
	}
	q, k, v := m.splitQKV(a.qkv)
	dq, dk, dv := m.splitQKV(s.dqkv)
	d.AttentionBackward(&native.AttentionBackward{Rows: rows, Sequences: int64(m.batch.sequences), Heads: int64(c.NumAttentionHeads),
		KVHeads: int64(c.NumKeyValueHeads), HeadDim: int64(c.HeadDim()), Longest: int64(m.batch.longest), Window: int64(c.SlidingWindow), Scale: m.scale(),
		Q: q, K: k, V: v, CuSeqlens: m.batch.cuSeqlens, Out: a.attention, LSE: a.lse.WithStride(p.rows), DOut: dattention, DQ: dq, DK: dk, DV: dv})
	d.RopeBackward(m.ropeOf(p.rows, s.dqkv))
	if i == 0 {
		m.backward(p, i, &l.QKV, a.norm1, s.dqkv, native.Tensor{})
		return
	}
	m.backward(p, i, &l.QKV, a.norm1, s.dqkv, a.norm1)
	m.rmsnormBackward(rows, a.input, l.norm1, a.rstd1, a.norm1)
}

// rmsnormBackward adds the gradient through a norm to that of the residual stream, in scratch.dx.
func (m *Model) rmsnormBackward(rows int64, x, weight, rstd, dy native.Tensor) {
	m.device.RMSNormBackward(&native.RMSNormBackward{Rows: rows, Columns: int64(m.Config.HiddenSize), X: x, Weight: weight, RStd: rstd, DY: dy,
		Residual: m.scratch.dx, DX: m.scratch.dx})
}

// FinishGradients computes the gradients of θ from the accumulated ones of the rotations. Call it once an optimizer step.
func (m *Model) FinishGradients() error {
	for i := range m.Layers {
		if g := m.Layers[i].Gate; g != nil {
			m.device.CayleyBackward(&native.CayleyBackward{Blocks: m.blocks(), Theta: g.Theta, Rotation: g.Rotation, DRotation: g.RotationGrad,
				DTheta: g.ThetaGrad})
		}
	}
	return m.device.Err()
}
