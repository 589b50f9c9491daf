package phi3

import (
	"context"
	"fmt"
	"slices"

	"so8t/engine/safetensors"
	"so8t/native"
)

// Matrix is the shape of a layer's weight. Phi-3 fuses q, k, v and gate, up into one matrix each; Projections names
// the logical slices of its rows.
type Matrix struct {
	Name        string // as in the checkpoint, after "model.layers.N."
	In, Out     int
	Projections []Projection

	operation uint32 // of the dropout draws
}

// TensorName is the checkpoint's name of a layer's weight.
func (x *Matrix) TensorName(layer int) string {
	return fmt.Sprintf("model.layers.%d.%s.weight", layer, x.Name)
}

// Linear is one frozen weight of a layer with its adapter.
type Linear struct {
	Matrix
	LoRA *LoRA // nil: no adapter

	w        native.Tensor // int8 or compute [Out, In]
	absmax   native.Tensor // float32 [Out], int8 only
	expanded native.Tensor // compute [Out + R, In + R], where KeepExpanded asks for it
}

// Projection is a logical projection: rows [Begin, Begin+Rows) of its fused weight.
type Projection struct {
	Name        string // q_proj, k_proj, ...
	Begin, Rows int
}

// Layer is one decoder layer.
type Layer struct {
	QKV, O, GateUp, Down Linear
	Gate                 *Gate         // nil: no rotation before o_proj
	norm1, norm2         native.Tensor // compute [C]
}

// Indices of Linears.
const (
	qkvProj = iota
	oProj
	gateUpProj
	downProj
)

// Linears returns the layer's weights in the order of the forward pass.
func (l *Layer) Linears() []*Linear { return []*Linear{&l.QKV, &l.O, &l.GateUp, &l.Down} }

// Matrices are the weights of each layer, in the order of Linears.
func (c *Config) Matrices() []Matrix {
	h, kv, i := c.HiddenSize, c.KVSize(), c.IntermediateSize
	return []Matrix{
		{Name: "self_attn.qkv_proj", In: h, Out: c.QKVSize(), operation: 0,
			Projections: []Projection{{"q_proj", 0, h}, {"k_proj", h, kv}, {"v_proj", h + kv, kv}}},
		{Name: "self_attn.o_proj", In: h, Out: h, operation: 1, Projections: []Projection{{"o_proj", 0, h}}},
		{Name: "mlp.gate_up_proj", In: h, Out: 2 * i, operation: 2,
			Projections: []Projection{{"gate_proj", 0, i}, {"up_proj", i, i}}},
		{Name: "mlp.down_proj", In: i, Out: h, operation: 3, Projections: []Projection{{"down_proj", 0, h}}},
	}
}

func newLayer(c *Config) (l Layer) {
	for i, matrix := range c.Matrices() {
		l.Linears()[i].Matrix = matrix
	}
	return l
}

// loader streams tensors from the base's files to the device through one staging buffer, so that there is never a second
// full copy of the model.
type loader struct {
	device  *native.Device
	files   *safetensors.Model
	compute native.DType
	int8    bool
	staging native.Buffer
}

const stagingBytes = 32 << 20

func (m *Model) load(ctx context.Context, files *safetensors.Model, int8 bool) error {
	ld := &loader{device: m.device, files: files, compute: m.compute, int8: int8}
	var err error
	if m.keepExpanded {
		if err := allocate(m.device, expandedPurpose, m.cutExpanded); err != nil {
			return err
		}
	}
	if ld.staging, err = m.device.Alloc(stagingBytes, "load staging"); err != nil {
		return err
	}
	defer m.device.Free(ld.staging)
	c := m.Config
	alloc := m.device.Alloc
	if m.embedOnHost {
		alloc = m.device.AllocOnHost
	}
	if m.embed, err = ld.matrixIn(alloc, "model.embed_tokens.weight", c.VocabSize, c.HiddenSize, "embedding"); err != nil {
		return err
	}
	m.head = m.embed
	if !c.TieWordEmbeddings {
		if m.head, err = ld.matrix("lm_head.weight", c.VocabSize, c.HiddenSize, "lm_head"); err != nil {
			return err
		}
	}
	if m.norm, err = ld.vector("model.norm.weight", c.HiddenSize); err != nil {
		return err
	}
	for i := range m.Layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := &m.Layers[i]
		for _, lin := range l.Linears() {
			if err := ld.linear(lin.TensorName(i), lin); err != nil {
				return err
			}
		}
		if l.norm1, err = ld.vector(fmt.Sprintf("model.layers.%d.input_layernorm.weight", i), c.HiddenSize); err != nil {
			return err
		}
		if l.norm2, err = ld.vector(fmt.Sprintf("model.layers.%d.post_attention_layernorm.weight", i), c.HiddenSize); err != nil {
			return err
		}
	}
	return ld.unused(c)
}

// unused refuses tensors that the model would ignore silently.
func (ld *loader) unused(c *Config) error {
	known := []string{"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"}
	for i := range c.NumHiddenLayers {
		for _, name := range []string{"self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj", "input_layernorm",
			"post_attention_layernorm"} {
			known = append(known, fmt.Sprintf("model.layers.%d.%s.weight", i, name))
		}
	}
	slices.Sort(known)
	for _, name := range ld.files.Names() {
		if _, found := slices.BinarySearch(known, name); !found {
			return fmt.Errorf("base model: tensor %q is not part of a Phi-3 model of this configuration", name)
		}
	}
	return nil
}

func (ld *loader) find(name string, shape ...int) (safetensors.Tensor, native.DType, error) {
	t, ok := ld.files.Tensor(name)
	if !ok {
		return t, 0, fmt.Errorf("base model: tensor %q is missing", name)
	}
	want := make([]int64, len(shape))
	for i, s := range shape {
		want[i] = int64(s)
	}
	if !slices.Equal(t.Shape, want) {
		return t, 0, fmt.Errorf("base model: tensor %q has shape %v, config.json asks for %v", name, t.Shape, want)
	}
	dtype, ok := map[string]native.DType{"F32": native.Float32, "BF16": native.BFloat16, "F16": native.Float16}[t.DType]
	if !ok {
		return t, 0, fmt.Errorf("base model: tensor %q is %s, not F32, BF16 or F16", name, t.DType)
	}
	return t, dtype, nil
}

// stream uploads a matrix by chunks of rows and hands each chunk to convert.
func (ld *loader) stream(name string, rows, columns int, convert func(first, rows int, chunk native.Tensor)) error {
	shape := []int{rows, columns}
	if rows == 1 {
		shape = []int{columns}
	}
	t, dtype, err := ld.find(name, shape...)
	if err != nil {
		return err
	}
	rowBytes := columns * dtype.Size()
	step := max(1, stagingBytes/rowBytes)
	if rowBytes > stagingBytes {
		return fmt.Errorf("base model: a row of %q is %d bytes, more than the staging buffer", name, rowBytes)
	}
	for first := 0; first < rows; first += step {
		n := min(step, rows-first)
		if err := native.Upload(ld.device, ld.staging.Tensor(dtype, 0, columns), t.Data[first*rowBytes:(first+n)*rowBytes]); err != nil {
			return err
		}
		convert(first, n, ld.staging.Tensor(dtype, 0, columns))
	}
	ld.files.Release(name)
	return ld.device.Err()
}

// matrix loads a weight that stays in the compute type: embedding and lm_head.
func (ld *loader) matrix(name string, rows, columns int, purpose string) (native.Tensor, error) {
	return ld.matrixIn(ld.device.Alloc, name, rows, columns, purpose)
}

func (ld *loader) matrixIn(alloc func(int64, string) (native.Buffer, error), name string, rows, columns int, purpose string) (native.Tensor, error) {
	buffer, err := alloc(int64(rows)*int64(columns)*int64(ld.compute.Size()), purpose)
	if err != nil {
		return native.Tensor{}, err
	}
	y := buffer.Tensor(ld.compute, 0, columns)
	return y, ld.stream(name, rows, columns, func(first, n int, chunk native.Tensor) {
		ld.device.Cast(&native.Cast{Rows: int64(n), Columns: int64(columns), X: chunk, Y: y.Row(first)})
	})
}

func (ld *loader) vector(name string, n int) (native.Tensor, error) {
	return ld.matrix(name, 1, n, "norm")
}

func (ld *loader) linear(name string, l *Linear) error {
	if !ld.int8 {
		var err error
		l.w, err = ld.matrix(name, l.Out, l.In, "base weights")
		return err
	}
	q, err := ld.device.Alloc(int64(l.Out)*int64(l.In), "base weights")
	if err != nil {
		return err
	}
	s, err := ld.device.Alloc(int64(l.Out)*4, "base scales")
	if err != nil {
		return err
	}
	l.w, l.absmax = q.Tensor(native.Int8, 0, l.In), s.Tensor(native.Float32, 0, 1)
	err = ld.stream(name, l.Out, l.In, func(first, n int, chunk native.Tensor) {
		ld.device.QuantizeRows(&native.QuantizeRows{Rows: int64(n), Columns: int64(l.In), X: chunk, Q: l.w.Row(first), Absmax: l.absmax.Row(first)})
	})
	if err == nil && l.expanded.Buffer != 0 {
		ld.device.DequantizeRows(&native.DequantizeRows{Rows: int64(l.Out), Columns: int64(l.In), Q: l.w, Absmax: l.absmax, Y: l.expanded})
		err = ld.device.Err()
	}
	return err
}
