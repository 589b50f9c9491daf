package engine

import (
	"so8t/engine/phi3"
	"so8t/native"
)

// parameters are the trained numbers of a plan on a device, in flat tensors.
type parameters struct {
	*AdapterPlan
	param   native.Tensor // float32 [N]
	grad    native.Tensor // float32 [N]
	compute native.Tensor // compute type [lora] where copied; else param itself
	form    adapterForm

	rotations     native.Tensor // float32 [rotationRows, 64], gate after gate
	rotationGrads native.Tensor // float32 [rotationRows, 64]
	rotationRows  int           // gates · C/8
}

// adapterForm is where passes read LoRA's A and B.
type adapterForm int

const (
	asTrained  adapterForm = iota // the float32 that is trained: where compute is bfloat16, each operation rounds it anew
	copied                        // a copy in the compute type
	inExpanded                    // beside the base's expanded weights, in the compute type
)

// newParameters wires the plan to a model's weights, without memory yet: that is attach's.
func newParameters(m *phi3.Model, p *AdapterPlan) *parameters {
	ps := &parameters{AdapterPlan: p, rotationRows: len(p.Gated) * m.Config.HiddenSize / 8}
	ps.wire(m)
	return ps
}

// attach allocates the parameters and points the model's adapters and gates at them.
func (ps *parameters) attach(m *phi3.Model) error {
	if err := allocate(m.Device(), ps.buffers(m.Compute())); err != nil {
		return err
	}
	if ps.form != copied {
		ps.compute = ps.param
	}
	ps.wire(m)
	return nil
}

func (ps *parameters) buffers(compute native.DType) []buffer {
	list := []buffer{
		{&ps.param, native.Float32, ps.N, parametersPurpose}, {&ps.grad, native.Float32, ps.N, "gradients"},
		{&ps.rotations, native.Float32, ps.rotationRows * 64, "rotations"},
		{&ps.rotationGrads, native.Float32, ps.rotationRows * 64, "rotation gradients"},
	}
	if ps.form == copied {
		list = append(list, buffer{&ps.compute, compute, ps.lora, "adapter copy"})
	}
	return list
}

func (ps *parameters) wire(m *phi3.Model) {
	rotationRow := 0
	for i := range ps.Weights {
		w := &ps.Weights[i]
		layer := &m.Layers[w.Layer]
		if w.A != nil {
			l := &phi3.LoRA{Rank: ps.LoRA.R, Scale: ps.Scale(), A: w.A.view(ps.compute), AGrad: w.A.view(ps.grad)}
			for _, s := range w.Slices {
				l.Slices = append(l.Slices, phi3.Slice{Projection: s.Projection, B: s.B.view(ps.compute), BGrad: s.B.view(ps.grad)})
			}
			linear := layer.Linears()[w.linear]
			if linear.LoRA = l; ps.form == inExpanded {
				linear.PlaceAdapter()
			}
		}
		if w.Theta != nil {
			layer.Gate = &phi3.Gate{Theta: w.Theta.view(ps.param), ThetaGrad: w.Theta.view(ps.grad),
				Rotation:     ps.rotations.Column(rotationRow * 64).WithStride(64),
				RotationGrad: ps.rotationGrads.Column(rotationRow * 64).WithStride(64)}
			rotationRow += w.Theta.Rows
		}
	}
}

// view is a parameter's part of a flat tensor.
func (p *Parameter) view(flat native.Tensor) native.Tensor {
	return flat.Column(p.Offset).WithStride(p.Columns)
}

// set replaces all parameters and what is derived from them.
func (ps *parameters) set(m *phi3.Model, values []float32) error {
	if ps.N == 0 {
		return nil
	}
	if err := native.Upload(m.Device(), ps.param, values); err != nil {
		return err
	}
	return ps.derive(m)
}

// derive refreshes LoRA in the compute type and the rotations from the parameters.
func (ps *parameters) derive(m *phi3.Model) error {
	switch {
	case ps.form == copied && ps.lora > 0:
		m.Device().Cast(&native.Cast{Rows: 1, Columns: int64(ps.lora), X: ps.param, Y: ps.compute})
	case ps.form == inExpanded:
		ps.place(m)
	}
	return m.UpdateRotations()
}

// place writes A and B beside the expanded weights.
func (ps *parameters) place(m *phi3.Model) {
	cast := func(p *Parameter, to native.Tensor) {
		m.Device().Cast(&native.Cast{Rows: int64(p.Rows), Columns: int64(p.Columns), X: p.view(ps.param), Y: to})
	}
	for _, w := range ps.Weights {
		if w.A == nil {
			continue
		}
		lora := m.Layers[w.Layer].Linears()[w.linear].LoRA
		cast(w.A, lora.A)
		for i, s := range w.Slices {
			cast(s.B, lora.Slices[i].B)
		}
	}
}

func (ps *parameters) zeroGradients(d *native.Device) {
	d.Zero(&native.Zero{Rows: 1, Columns: int64(ps.N), X: ps.grad})
	if ps.rotationRows > 0 {
		d.Zero(&native.Zero{Rows: 1, Columns: int64(ps.rotationRows * 64), X: ps.rotationGrads})
	}
}
