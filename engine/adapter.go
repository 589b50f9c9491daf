package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"so8t/configs"
	"so8t/engine/phi3"
)

// LoRAOptions has the names of PEFT's LoraConfig.
type LoRAOptions struct {
	R             int
	Alpha         float64
	Dropout       float64
	TargetModules []string // of configs.Projections
}

// GateOptions place the SO(8) gates.
type GateOptions struct {
	Enabled bool
	Layers  []int // nil: all
}

// Parameter is one trained tensor and its place in the flat buffer that holds all of them.
type Parameter struct {
	Name          string
	Rows, Columns int
	Offset        int     // in numbers
	bound         float64 // the first values are uniform in ±bound; 0: zeros
}

// Size is the number of its elements.
func (p *Parameter) Size() int { return p.Rows * p.Columns }

// Values gives a trained tensor's numbers, row by row.
type Values func(*Parameter) []float32

// Flat gives views on a buffer that is laid out by the plan.
func Flat(buffer []float32) Values {
	return func(p *Parameter) []float32 { return buffer[p.Offset : p.Offset+p.Size()] }
}

// AdaptedWeight is a weight of the base with what is trained on it.
type AdaptedWeight struct {
	phi3.Matrix
	Layer  int
	A      *Parameter // [slices·r, In], a slice's r rows after another's; nil: no LoRA
	Slices []AdaptedSlice
	Theta  *Parameter // [In/8, 28], of the gate on the weight's input; nil: no gate

	linear int // its place among the layer's Linears
}

// AdaptedSlice is a logical projection with LoRA.
type AdaptedSlice struct {
	phi3.Projection
	B *Parameter // [Rows, r]
}

// AdapterPlan says what is trained on a base model, and where each trained tensor lies in the flat buffers: first
// LoRA, then θ of the gates, so that one norm and one optimizer call each cover them.
type AdapterPlan struct {
	LoRA       LoRAOptions
	Weights    []AdaptedWeight // those with LoRA or a gate, layer by layer in the order of the forward pass
	Parameters []*Parameter    // in the order of their offsets
	Gated      []int           // layers with a gate
	Layers     int             // of the base
	N          int             // length of the flat buffer, padding included

	lora int // the part of N that belongs to LoRA
}

// blockSize is the number of elements that share a scale in the 8-bit optimizer states: each parameter starts on one.
const blockSize = 256

// PlanAdapter resolves the options against a base model's configuration. PEFT given Phi-3's logical projections would
// match o_proj and down_proj and skip the fused q, k, v and gate, up without a word.
func PlanAdapter(c *phi3.Config, lora LoRAOptions, gates GateOptions) (*AdapterPlan, error) {
	if err := checkAdapter(c, lora, gates); err != nil {
		return nil, err
	}
	p := &AdapterPlan{LoRA: lora, Layers: c.NumHiddenLayers}
	for layer := range c.NumHiddenLayers {
		gated := gates.Enabled && (gates.Layers == nil || slices.Contains(gates.Layers, layer))
		if gated {
			p.Gated = append(p.Gated, layer)
		}
		for i, matrix := range c.Matrices() {
			w := AdaptedWeight{Matrix: matrix, Layer: layer, linear: i}
			p.addLoRA(&w)
			if w.A != nil || gated && matrix.Name == gatedWeight {
				p.Weights = append(p.Weights, w)
			}
		}
	}
	p.lora = p.N
	for i := range p.Weights {
		if w := &p.Weights[i]; w.Name == gatedWeight && slices.Contains(p.Gated, w.Layer) {
			w.Theta = p.add(fmt.Sprintf("model.layers.%d.%s.theta", w.Layer, w.Name), w.In/8, 28, 0)
		}
	}
	return p, nil
}

// gatedWeight is the weight whose input the gates rotate.
const gatedWeight = "self_attn.o_proj"

func (p *AdapterPlan) addLoRA(w *AdaptedWeight) {
	var targets []phi3.Projection
	for _, projection := range w.Projections {
		if slices.Contains(p.LoRA.TargetModules, projection.Name) {
			targets = append(targets, projection)
		}
	}
	if len(targets) == 0 {
		return
	}
	prefix := fmt.Sprintf("model.layers.%d.%s.", w.Layer, w.Name)
	// PEFT's kaiming_uniform_(a=√5) over fan-in is uniform in ±1/√in; B starts at zero
	w.A = p.add(prefix+"lora_A", len(targets)*p.LoRA.R, w.In, 1/math.Sqrt(float64(w.In)))
	for _, t := range targets {
		w.Slices = append(w.Slices, AdaptedSlice{t, p.add(prefix+"lora_B."+t.Name, t.Rows, p.LoRA.R, 0)})
	}
}

func (p *AdapterPlan) add(name string, rows, columns int, bound float64) *Parameter {
	q := &Parameter{name, rows, columns, p.N, bound}
	p.Parameters = append(p.Parameters, q)
	p.N += (q.Size() + blockSize - 1) / blockSize * blockSize
	return q
}

func checkAdapter(c *phi3.Config, lora LoRAOptions, gates GateOptions) error {
	for _, t := range lora.TargetModules {
		if !slices.Contains(configs.Projections, t) {
			return fmt.Errorf("lora_target_modules: %q is not one of %s", t, strings.Join(configs.Projections, ", "))
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

// Scale is LoRA's s = alpha / r.
func (p *AdapterPlan) Scale() float64 { return p.LoRA.Alpha / float64(p.LoRA.R) }

// Trained counts the numbers that training changes.
func (p *AdapterPlan) Trained() (n int64) {
	for _, q := range p.Parameters {
		n += int64(q.Size())
	}
	return n
}

// initial gives the parameters before the first step: model B equals model A.
func (p *AdapterPlan) initial(seed uint64) []float32 {
	values := make([]float32, p.N)
	for i, q := range p.Parameters {
		if q.bound == 0 {
			continue
		}
		d := newDraws(seed, drawInit, uint32(i), 0)
		for j := range q.Size() {
			values[q.Offset+j] = float32((2*d.float() - 1) * q.bound)
		}
	}
	return values
}
