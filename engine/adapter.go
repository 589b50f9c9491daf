package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"so8t/engine/phi3"
	"so8t/native"
)

// LoRAOptions has the names of PEFT's LoraConfig.
type LoRAOptions struct {
	R             int
	Alpha         float64
	Dropout       float64
	TargetModules []string // logical projections: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj
}

// GateOptions place the SO(8) gates.
type GateOptions struct {
	Enabled bool
	Layers  []int // nil: all
}

// Projections are the logical names that LoRA's target modules may hold. Phi-3 fuses q, k, v and gate, up;
// PEFT given these names matches o_proj and down_proj and skips the others without a word.
var Projections = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// parameter is one trained tensor inside the flat buffers.
type parameter struct {
	name       string
	shape      [2]int
	offset     int
	projection string  // LoRA only
	init       float64 // uniform in ±init; 0: zeros
}

func (p parameter) size() int { return p.shape[0] * p.shape[1] }

// blockOf is the block of the 8-bit optimizer states: each parameter starts on one.
const blockOf = 256

// parameters holds every trained number in flat buffers: first LoRA, then θ of the gates, so that one norm
// and one optimizer call each cover them.
type parameters struct {
	list    []parameter
	lora    int           // numbers that belong to LoRA, padding included
	n       int           // all of them
	param   native.Tensor // float32 [n]
	grad    native.Tensor // float32 [n]
	compute native.Tensor // compute type [lora], where copied; else param itself
	copied  bool          // LoRA has a copy in the compute type

	rotations     native.Tensor // float32 [gates · C/8 · 64]
	rotationGrads native.Tensor
	rotationRows  int
}

func (ps *parameters) add(name string, rows, columns int, projection string, init float64) {
	ps.list = append(ps.list, parameter{name, [2]int{rows, columns}, ps.n, projection, init})
	ps.n += (rows*columns + blockOf - 1) / blockOf * blockOf
}

func (ps *parameters) find(name string) parameter {
	i := slices.IndexFunc(ps.list, func(p parameter) bool { return p.name == name })
	return ps.list[i]
}

// view is a parameter's part of a flat tensor.
func (p parameter) view(flat native.Tensor) native.Tensor {
	return flat.Column(p.offset).WithStride(p.shape[1])
}

func loraName(layer int, l *phi3.Linear, part string) string {
	return fmt.Sprintf("model.layers.%d.%s.%s", layer, l.Name, part)
}

func thetaName(layer int) string { return fmt.Sprintf("model.layers.%d.self_attn.o_proj.theta", layer) }

// layOut gives the trained parameters their places, and each weight its adapter and gate, without memory yet.
func layOut(m *phi3.Model, lora LoRAOptions, gates GateOptions) (*parameters, error) {
	if err := checkAdapter(m.Config, lora, gates); err != nil {
		return nil, err
	}
	ps := &parameters{}
	for i := range m.Layers {
		for _, l := range m.Layers[i].Linears() {
			targets := targeted(l, lora)
			if len(targets) == 0 {
				continue
			}
			// PEFT's kaiming_uniform_(a=√5) over fan-in is uniform in ±1/√in; B starts at zero
			ps.add(loraName(i, l, "lora_A"), len(targets)*lora.R, l.In, "", 1/math.Sqrt(float64(l.In)))
			for _, t := range targets {
				ps.add(loraName(i, l, "lora_B."+t.Name), t.Rows, lora.R, t.Name, 0)
			}
		}
	}
	ps.lora = ps.n
	gated := gatedLayers(m.Config, gates)
	for _, i := range gated {
		ps.add(thetaName(i), m.Config.HiddenSize/8, 28, "", 0)
	}
	ps.rotationRows = len(gated) * m.Config.HiddenSize / 8
	ps.copied = m.Compute() != native.Float32
	ps.wire(m, lora, gated)
	return ps, nil
}

// attach allocates the parameters and points the adapters and gates at them.
func (ps *parameters) attach(m *phi3.Model, lora LoRAOptions, gates GateOptions) error {
	if err := allocate(m.Device(), ps.rooms(m.Compute())); err != nil {
		return err
	}
	if !ps.copied {
		ps.compute = ps.param
	}
	ps.wire(m, lora, gatedLayers(m.Config, gates))
	return nil
}

func checkAdapter(c *phi3.Config, lora LoRAOptions, gates GateOptions) error {
	for _, t := range lora.TargetModules {
		if !slices.Contains(Projections, t) {
			return fmt.Errorf("lora_target_modules: %q is not one of %s", t, strings.Join(Projections, ", "))
		}
	}
	if len(lora.TargetModules) > 0 && lora.R < 1 {
		return fmt.Errorf("lora_r: %d must be at least 1", lora.R)
	}
	if lora.Dropout < 0 || lora.Dropout >= 1 {
		return fmt.Errorf("lora_dropout: %v must be in [0, 1)", lora.Dropout)
	}
	for _, i := range gates.Layers {
		if gates.Enabled && (i < 0 || i >= c.NumHiddenLayers) {
			return fmt.Errorf("so8t.layers: %d is not a layer of a model of %d", i, c.NumHiddenLayers)
		}
	}
	if gates.Enabled && c.HiddenSize%8 != 0 {
		return fmt.Errorf("so8t: hidden_size %d is not a multiple of 8", c.HiddenSize)
	}
	return nil
}

func targeted(l *phi3.Linear, lora LoRAOptions) (targets []phi3.Projection) {
	for _, p := range l.Projections {
		if slices.Contains(lora.TargetModules, p.Name) {
			targets = append(targets, p)
		}
	}
	return targets
}

func gatedLayers(c *phi3.Config, gates GateOptions) (layers []int) {
	for i := range c.NumHiddenLayers {
		if gates.Enabled && (gates.Layers == nil || slices.Contains(gates.Layers, i)) {
			layers = append(layers, i)
		}
	}
	return layers
}

// rooms are the buffers of the parameters.
func (ps *parameters) rooms(compute native.DType) []room {
	list := []room{{&ps.param, native.Float32, ps.n, "trained parameters"}, {&ps.grad, native.Float32, ps.n, "gradients"},
		{&ps.rotations, native.Float32, ps.rotationRows * 64, "rotations"}, {&ps.rotationGrads, native.Float32, ps.rotationRows * 64, "rotation gradients"}}
	if ps.copied {
		list = append(list, room{&ps.compute, compute, ps.lora, "adapter copy"})
	}
	return list
}

func (ps *parameters) wire(m *phi3.Model, lora LoRAOptions, gated []int) {
	for i := range m.Layers {
		for _, l := range m.Layers[i].Linears() {
			targets := targeted(l, lora)
			if len(targets) == 0 {
				continue
			}
			a := ps.find(loraName(i, l, "lora_A"))
			l.LoRA = &phi3.LoRA{Rank: lora.R, Scale: lora.Alpha / float64(lora.R), A: a.view(ps.compute), AGrad: a.view(ps.grad)}
			for _, t := range targets {
				b := ps.find(loraName(i, l, "lora_B."+t.Name))
				l.LoRA.Slices = append(l.LoRA.Slices, phi3.Slice{Projection: t, B: b.view(ps.compute), BGrad: b.view(ps.grad)})
			}
		}
	}
	blocks := m.Config.HiddenSize / 8
	for j, i := range gated {
		theta := ps.find(thetaName(i))
		m.Layers[i].Gate = &phi3.Gate{Theta: theta.view(ps.param), ThetaGrad: theta.view(ps.grad),
			Rotation: ps.rotations.Column(j * blocks * 64).WithStride(64), RotationGrad: ps.rotationGrads.Column(j * blocks * 64).WithStride(64)}
	}
}

// initial gives the parameters before the first step: model B equals model A.
func (ps *parameters) initial(seed uint64) []float32 {
	values := make([]float32, ps.n)
	for i, p := range ps.list {
		if p.init == 0 {
			continue
		}
		d := newDraws(seed, drawInit, uint32(i), 0)
		for j := range p.size() {
			values[p.offset+j] = float32((2*d.float() - 1) * p.init)
		}
	}
	return values
}

// set replaces all parameters and what is derived from them.
func (ps *parameters) set(m *phi3.Model, values []float32) error {
	if ps.n == 0 {
		return nil
	}
	if err := native.Upload(m.Device(), ps.param, values); err != nil {
		return err
	}
	return ps.derive(m)
}

// derive refreshes the compute copy of LoRA and the rotations from the parameters.
func (ps *parameters) derive(m *phi3.Model) error {
	if ps.copied && ps.lora > 0 {
		m.Device().Cast(&native.Cast{Rows: 1, Columns: int64(ps.lora), X: ps.param, Y: ps.compute})
	}
	return m.UpdateRotations()
}

func (ps *parameters) zeroGradients(d *native.Device) {
	d.Zero(&native.Zero{Rows: 1, Columns: int64(ps.n), X: ps.grad})
	if ps.rotationRows > 0 {
		d.Zero(&native.Zero{Rows: 1, Columns: int64(ps.rotationRows * 64), X: ps.rotationGrads})
	}
}
