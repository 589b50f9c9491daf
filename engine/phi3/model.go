package phi3

import (
	"context"
	"fmt"

	"so8t/engine/safetensors"
	"so8t/native"
)

// Options say how a base model is held on a device.
type Options struct {
	Float32   bool // compute in float32; otherwise in bfloat16
	Int8      bool // linear weights as int8 rows (LLM.int8's weight format); otherwise in the compute type
	MaxTokens int  // the most rows of one pass: tokens of all its sequences together
	MaxLength int  // the longest sequence, cache included
}

// Model is a Phi-3 on a device. Its methods must be called from one thread at a time.
type Model struct {
	Config *Config
	Layers []Layer

	device    *native.Device
	compute   native.DType
	options   Options
	embed     native.Tensor // compute [V, C]
	head      native.Tensor // compute [V, C]
	norm      native.Tensor // compute [C]
	rope      *ropeTable
	batch     batch
	scratch   scratch
	saved     []activations // one a layer, or one for all with gradient checkpointing
	inputs    []native.Tensor
	gated     bool // there is a layer with a gate
	ungated   bool // there is one without
	recompute bool

	adapterColumns [4]int // width of z by linear, the widest of the layers
}

// Load reads a base model from dir (config.json, safetensors) onto the device.
func Load(ctx context.Context, d *native.Device, dir string, o Options) (*Model, error) {
	config, err := LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	if o.MaxTokens <= 0 || o.MaxLength <= 0 {
		return nil, fmt.Errorf("load %s: MaxTokens %d and MaxLength %d must be positive", dir, o.MaxTokens, o.MaxLength)
	}
	if o.MaxLength > config.MaxPositionEmbeddings {
		return nil, fmt.Errorf("load %s: sequences of %d tokens, but max_position_embeddings is %d", dir, o.MaxLength, config.MaxPositionEmbeddings)
	}
	files, err := safetensors.OpenModel(dir)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	m := &Model{Config: config, device: d, compute: native.BFloat16, options: o, Layers: make([]Layer, config.NumHiddenLayers)}
	if o.Float32 {
		m.compute = native.Float32
	}
	for i := range m.Layers {
		m.Layers[i] = newLayer(config)
	}
	if err := m.load(ctx, files, o.Int8); err != nil {
		return nil, err
	}
	if m.rope, err = newRopeTable(d, config, o.MaxLength); err != nil {
		return nil, err
	}
	return m, m.batch.allocate(d, o.MaxTokens)
}

// Device returns the device that holds the model.
func (m *Model) Device() *native.Device { return m.device }

// Compute returns the type of the activations: float32 or bfloat16.
func (m *Model) Compute() native.DType { return m.compute }

// MaxTokens is the most rows of one pass.
func (m *Model) MaxTokens() int { return m.options.MaxTokens }

// Prepare allocates what passes need, once adapters and gates are attached. Training without recomputation
// keeps every layer's activations; with it only each layer's input.
func (m *Model) Prepare(training, recompute bool) error {
	m.recompute = recompute || !training
	for i := range m.Layers {
		l := &m.Layers[i]
		m.gated, m.ungated = m.gated || l.Gate != nil, m.ungated || l.Gate == nil
		for j, lin := range l.Linears() {
			if lin.LoRA != nil {
				m.adapterColumns[j] = max(m.adapterColumns[j], lin.LoRA.Columns())
			}
		}
	}
	t := m.options.MaxTokens
	if err := allocate(m.device, "scratch", func(a *arena) { m.cutScratch(a, t, training) }); err != nil {
		return err
	}
	sets := len(m.Layers)
	if m.recompute {
		sets = 1
	}
	m.saved = make([]activations, sets)
	m.inputs = make([]native.Tensor, len(m.Layers))
	if err := allocate(m.device, "activations", func(a *arena) {
		for i := range m.saved {
			m.cutActivations(a, &m.saved[i], t, training)
		}
	}); err != nil {
		return err
	}
	return allocate(m.device, "layer inputs", func(a *arena) {
		for i := range m.inputs {
			if i < 2 || training { // without a backward pass two streams take turns
				m.inputs[i] = a.tensor(m.compute, t, m.Config.HiddenSize)
			} else {
				m.inputs[i] = m.inputs[i-2]
			}
		}
	})
}

// activationsOf returns where layer i keeps its activations.
func (m *Model) activationsOf(i int) *activations {
	s := &m.saved[min(i, len(m.saved)-1)]
	s.input = m.inputs[i]
	return s
}

// outputOf is where layer i writes the residual stream.
func (m *Model) outputOf(i int) native.Tensor {
	if i+1 < len(m.inputs) {
		return m.inputs[i+1]
	}
	return m.scratch.output
}
