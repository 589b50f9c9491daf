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

	device  *native.Device
	compute native.DType
	options Options
	embed   native.Tensor // compute [V, C]
	head    native.Tensor // compute [V, C]
	norm    native.Tensor // compute [C]
	rope    *ropeTable
	batch   batch
	scratch scratch
	saved   []activations // by layer; what is not saved shares one memory
	inputs  []native.Tensor
	saves   Saved

	dir            string
	gated          bool   // some layer has a gate
	ungated        bool   // some layer has none
	adapterColumns [4]int // width of z by linear, the widest of the layers
	embedOnHost    bool
	keepExpanded   bool
	withCuDNN      bool
}

// Saved is what the forward pass saves of each layer for the backward pass, which recomputes the rest from the
// layer's input.
type Saved string

const (
	SavedAll       Saved = "all"
	SavedAttention Saved = "attention" // inputs, queries, keys, values and attention: the most recomputation saved per byte
	SavedInputs    Saved = "inputs"
)

// New reads the configuration of the base model in dir. Memory for it is allocated by Load.
func New(dir string, o Options) (*Model, error) {
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
	m := &Model{Config: config, compute: native.BFloat16, options: o, Layers: make([]Layer, config.NumHiddenLayers), dir: dir}
	if o.Float32 {
		m.compute = native.Float32
	}
	for i := range m.Layers {
		m.Layers[i] = newLayer(config)
	}
	return m, nil
}

// EmbedFromHost leaves the embedding in the host's memory, unless it is tied to lm_head: a pass reads only a few rows of it
// over the bus. Call it before Load and Plan.
func (m *Model) EmbedFromHost() { m.embedOnHost = !m.Config.TieWordEmbeddings }

// Load reads the base model's weights (safetensors) onto the device.
func (m *Model) Load(ctx context.Context, d *native.Device) error {
	files, err := safetensors.OpenModel(m.dir)
	if err != nil {
		return err
	}
	defer files.Close()
	m.device = d
	if err := m.load(ctx, files, m.options.Int8); err != nil {
		return err
	}
	if m.rope, err = newRopeTable(d, m.Config, m.options.MaxLength); err != nil {
		return err
	}
	return m.batch.allocate(d, m.options.MaxTokens)
}

// Device returns the device that holds the model.
func (m *Model) Device() *native.Device { return m.device }

// Compute returns the type of the activations: float32 or bfloat16.
func (m *Model) Compute() native.DType { return m.compute }

// MaxTokens is the most rows of one pass.
func (m *Model) MaxTokens() int { return m.options.MaxTokens }

// Prepare allocates what passes work in. Adapters and gates must be attached before.
func (m *Model) Prepare(training bool, saves Saved) error {
	m.survey(training, saves)
	for _, part := range m.working(training) {
		if err := allocate(m.device, part.purpose, part.cut); err != nil {
			return err
		}
	}
	return nil
}

// survey reads from adapters and gates what the layout of the activations depends on.
func (m *Model) survey(training bool, saves Saved) {
	if m.saves = saves; !training {
		m.saves = SavedInputs
	}
	m.gated, m.ungated, m.adapterColumns = false, false, [4]int{}
	for i := range m.Layers {
		l := &m.Layers[i]
		m.gated, m.ungated = m.gated || l.Gate != nil, m.ungated || l.Gate == nil
		for j, lin := range l.Linears() {
			if lin.LoRA != nil {
				m.adapterColumns[j] = max(m.adapterColumns[j], lin.LoRA.Columns())
			}
		}
	}
}

// part is a buffer with the function that cuts tensors out of it.
type part struct {
	purpose string
	cut     func(*arena)
}

// working lists the buffers that passes work in.
func (m *Model) working(training bool) []part {
	t := m.options.MaxTokens
	return []part{
		{"scratch", func(a *arena) { m.cutScratch(a, t, training) }},
		{"activations", func(a *arena) { m.cutSaved(a, t, training) }},
		{"layer inputs", func(a *arena) {
			m.inputs = make([]native.Tensor, len(m.Layers))
			for i := range m.inputs {
				if i < 2 || training { // without a backward pass layers alternate between two buffers
					m.inputs[i] = a.tensor(m.compute, t, m.Config.HiddenSize)
				} else {
					m.inputs[i] = m.inputs[i-2]
				}
			}
		}},
	}
}

// activationsOf returns the activations of layer i.
func (m *Model) activationsOf(i int) *activations {
	s := &m.saved[i]
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
