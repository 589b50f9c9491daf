package phi3

import "so8t/native"

// LoRA is the adapter of one fused weight: y += Scale · dropout(x) Aᵀ Bᵢᵀ on the rows of each slice
// (Hu et al., arXiv 2106.09685). Rows [i·Rank, (i+1)·Rank) of A belong to slice i.
type LoRA struct {
	Rank   int
	Scale  float64       // lora_alpha / r
	A      native.Tensor // compute [n·Rank, In]
	AGrad  native.Tensor // float32 [n·Rank, In]
	Slices []Slice
}

// Slice is the adapter's part on one logical projection.
type Slice struct {
	Projection
	B     native.Tensor // compute [Rows, Rank]
	BGrad native.Tensor // float32 [Rows, Rank]
}

// Columns is the width of z = x Aᵀ.
func (l *LoRA) Columns() int { return l.Rank * len(l.Slices) }

func (l *LoRA) native() (slices [native.MaxSlices]native.LoRASlice) {
	for i, s := range l.Slices {
		slices[i] = native.LoRASlice{OutBegin: int64(s.Begin), OutRows: int64(s.Rows), B: s.B, BGrad: s.BGrad}
	}
	return slices
}

// Gate is the SO(8) rotation of o_proj's input: block-diagonal R(θ), θ the strict upper triangle of a skew
// matrix A by rows, R = (I − A/2)⁻¹(I + A/2).
type Gate struct {
	Theta        native.Tensor // float32 [C/8, 28]
	ThetaGrad    native.Tensor // float32 [C/8, 28]
	Rotation     native.Tensor // float32 [C/8, 64], computed from Theta by UpdateRotations
	RotationGrad native.Tensor // float32 [C/8, 64]
}

// UpdateRotations recomputes R(θ) of every gate. Call it after each change of θ.
func (m *Model) UpdateRotations() error {
	for i := range m.Layers {
		if g := m.Layers[i].Gate; g != nil {
			m.device.CayleyForward(&native.CayleyForward{Blocks: m.blocks(), Theta: g.Theta, Rotation: g.Rotation})
		}
	}
	return m.device.Err()
}

func (m *Model) blocks() int64 { return int64(m.Config.HiddenSize / 8) }

// Dropout is dropout on the input of LoRA. The masks are drawn by seed, step, layer, weight, sample and position.
type Dropout struct {
	P    float64
	Seed uint64
	Step uint64
}

func (m *Model) mask(p *pass, layer int, l *Linear) native.Dropout {
	if p.dropout.P == 0 {
		return native.Dropout{}
	}
	return native.Dropout{P: p.dropout.P, Seed: p.dropout.Seed, Step: p.dropout.Step, Layer: uint32(layer), Operation: l.operation,
		Sample: m.batch.sample, Position: m.batch.position}
}

// pass holds the parameters of one run through the layers.
type pass struct {
	rows    int
	dropout Dropout
	adapter bool
	cache   *Cache // nil: rows attend within their packed sequence
	fill    bool   // the rows are whole sequences from position 0: attend packed, and fill the cache
}

// forward computes y = residual + l(x). Where an adapter is active it writes z next to x.
func (m *Model) forward(p *pass, layer int, l *Linear, x, y, residual native.Tensor) {
	op := native.LinearForward{Rows: int64(p.rows), In: int64(l.In), Out: int64(l.Out), X: x, W: l.w, WAbsmax: l.absmax, Expanded: l.expanded,
		Y: y, Residual: residual}
	if a := l.LoRA; a != nil && p.adapter {
		m.loraDown(p, layer, l, x)
		op.Rank, op.Slices, op.Z, op.Slice = int64(a.Rank), int64(len(a.Slices)), x.Column(l.In), a.native()
	}
	m.device.LinearForward(&op)
}

func (m *Model) loraDown(p *pass, layer int, l *Linear, x native.Tensor) {
	m.device.LoRADownForward(&native.LoRADownForward{Rows: int64(p.rows), In: int64(l.In), Columns: int64(l.LoRA.Columns()),
		X: x, A: l.LoRA.A, Z: x.Column(l.In), Scale: l.LoRA.Scale, Dropout: m.mask(p, layer, l)})
}

// backward computes dx from dy and adds to the adapter's gradients. It reads x and z as the forward pass left them, and
// writes dz next to dy. Without dx the input's gradient is skipped.
func (m *Model) backward(p *pass, layer int, l *Linear, x, dy, dx native.Tensor) {
	op := native.LinearBackward{Rows: int64(p.rows), In: int64(l.In), Out: int64(l.Out), DY: dy, W: l.w, WAbsmax: l.absmax, Expanded: l.expanded, DX: dx}
	if a := l.LoRA; a != nil {
		z, dz := x.Column(l.In), dy.Column(l.Out)
		m.device.LoRAUpBackward(&native.LoRAUpBackward{Rows: int64(p.rows), Out: int64(l.Out), Rank: int64(a.Rank), Slices: int64(len(a.Slices)),
			DY: dy, Z: z, DZ: dz, Scale: a.Scale, Slice: a.native()})
		mask := m.mask(p, layer, l)
		m.device.LoRADownBackward(&native.LoRADownBackward{Rows: int64(p.rows), In: int64(l.In), Columns: int64(a.Columns()),
			X: x, DZ: dz, AGrad: a.AGrad, Dropout: mask})
		op.Columns, op.DZ, op.A, op.Dropout = int64(a.Columns()), dz, a.A, mask
	}
	if dx.Buffer != 0 {
		m.device.LinearBackward(&op)
	}
}
