package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"so8t/disk"
	"so8t/engine/phi3"
	"so8t/engine/safetensors"
	"so8t/native"
)

// mergeRows bounds how much of a weight is folded at once: rows × columns numbers in float32.
const mergeNumbers = 16 << 20

// SaveMerged writes dir, as long as lease holds, as a Hugging Face model whose weights have the adapters folded in,
// W' = (W + s·B·A)·R, starting from the base's own weights and ending in their type. shardBytes bounds a file.
func (m *Model) SaveMerged(ctx context.Context, lease *disk.Lease, dir string, shardBytes int64) error {
	values, err := m.trained(ctx)
	if err != nil {
		return fmt.Errorf("save merged: %w", err)
	}
	err = disk.ReplaceDir(lease, dir, func(tmp string) error {
		if err := copyModelFiles(m.options.BasePath, tmp); err != nil {
			return err
		}
		return m.writeMerged(ctx, tmp, shardBytes, values)
	})
	if err != nil {
		return fmt.Errorf("save merged: %w", err)
	}
	return nil
}

func (m *Model) writeMerged(ctx context.Context, dir string, shardBytes int64, values []float32) (err error) {
	base, err := safetensors.OpenModel(m.options.BasePath)
	if err != nil {
		return err
	}
	defer base.Close()
	var specs []safetensors.Spec
	for _, name := range base.Names() {
		t, _ := base.Tensor(name)
		specs = append(specs, safetensors.Spec{Name: name, DType: t.DType, Shape: t.Shape})
	}
	out, err := safetensors.NewShardedWriter(dir, specs, map[string]string{"format": "pt"}, shardBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	folds := m.folds(values)
	for i, spec := range out.Order() {
		if i == len(specs)/2 {
			disk.Crash("export.half_merged")
		}
		t, _ := base.Tensor(spec.Name)
		f, ok := folds[spec.Name]
		if !ok {
			if err := out.Append(spec.Name, t.Data); err != nil {
				return err
			}
		} else if err := m.run(ctx, func() error {
			merged, err := f.merge(m.device, t)
			if err != nil {
				return fmt.Errorf("%s: %w", spec.Name, err)
			}
			return out.Append(spec.Name, merged)
		}); err != nil {
			return err
		}
		base.Release(spec.Name)
	}
	return nil
}

// fold is what is to be folded into one weight.
type fold struct {
	linear *phi3.Linear
	rank   int
	a      map[string][]float32 // by projection, [in, rank]: A transposed
	b      map[string][]float32 // by projection, [rows, rank], times scale
	gate   *phi3.Gate
}

func (m *Model) folds(values []float32) map[string]*fold {
	folds := map[string]*fold{}
	for i := range m.phi.Layers {
		layer := &m.phi.Layers[i]
		for _, l := range layer.Linears() {
			f := &fold{linear: l, a: map[string][]float32{}, b: map[string][]float32{}}
			if l == &layer.O {
				f.gate = layer.Gate
			}
			if l.LoRA == nil && f.gate == nil {
				continue
			}
			if l.LoRA != nil {
				f.rank = l.LoRA.Rank
				a := m.params.find(loraName(i, l, "lora_A"))
				for j, s := range l.LoRA.Slices {
					rows := values[a.offset+j*f.rank*l.In : a.offset+(j+1)*f.rank*l.In]
					f.a[s.Name] = transpose(rows, f.rank, l.In)
					b := m.params.find(loraName(i, l, "lora_B."+s.Name))
					f.b[s.Name] = scaled(values[b.offset:b.offset+b.size()], l.LoRA.Scale)
				}
			}
			folds[phi3.TensorName(i, l)] = f
		}
	}
	return folds
}

func transpose(x []float32, rows, columns int) []float32 {
	y := make([]float32, len(x))
	for i := range rows {
		for j := range columns {
			y[j*rows+i] = x[i*columns+j]
		}
	}
	return y
}

func scaled(x []float32, s float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(float64(v) * s)
	}
	return y
}

// merge computes the weight with everything folded in, in the bytes of its own type.
func (f *fold) merge(d *native.Device, t safetensors.Tensor) (merged []byte, err error) {
	dtype, ok := map[string]native.DType{"F32": native.Float32, "BF16": native.BFloat16, "F16": native.Float16}[t.DType]
	if !ok {
		return nil, fmt.Errorf("type %s cannot be merged", t.DType)
	}
	in := f.linear.In
	merged = make([]byte, len(t.Data))
	step := max(1, mergeNumbers/in)
	w := &buffers{device: d}
	defer w.free()
	raw, work := w.tensor(dtype, min(step, f.linear.Out), in), w.tensor(native.Float32, min(step, f.linear.Out), in)
	for _, p := range f.linear.Projections {
		var a, b native.Tensor
		if f.a[p.Name] != nil {
			a, b = w.tensor(native.Float32, in, f.rank), w.tensor(native.Float32, p.Rows, f.rank)
			w.upload(a, f.a[p.Name])
			w.upload(b, f.b[p.Name])
		}
		if w.err != nil {
			return nil, w.err
		}
		for first := 0; first < p.Rows; first += step {
			rows := min(step, p.Rows-first)
			begin := (p.Begin + first) * in * dtype.Size()
			part := t.Data[begin : begin+rows*in*dtype.Size()]
			if err := native.Upload(d, raw, part); err != nil {
				return nil, err
			}
			d.Cast(&native.Cast{Rows: int64(rows), Columns: int64(in), X: raw, Y: work})
			if a.Buffer != 0 { // W + (s·B)·A, as a product with Aᵀ's rows
				d.LinearForward(&native.LinearForward{Rows: int64(rows), In: int64(f.rank), Out: int64(in), X: b.Row(first), W: a, Y: work, Residual: work})
			}
			if f.gate != nil { // each row times R: Rᵀ applied to the row
				d.RotateBackward(&native.RotateBackward{Rows: int64(rows), Blocks: int64(in / 8), X: work, Rotation: f.gate.Rotation, DY: work, DX: work})
			}
			d.Cast(&native.Cast{Rows: int64(rows), Columns: int64(in), X: work, Y: raw})
			if err := native.Download(d, merged[begin:begin+len(part)], raw); err != nil {
				return nil, err
			}
		}
	}
	return merged, d.Err()
}

// buffers allocates short-lived tensors and keeps the first error.
type buffers struct {
	device *native.Device
	held   []native.Buffer
	err    error
}

func (w *buffers) tensor(dtype native.DType, rows, columns int) native.Tensor {
	if w.err != nil {
		return native.Tensor{}
	}
	b, err := w.device.Alloc(int64(rows)*int64(columns)*int64(dtype.Size()), "merge")
	if err != nil {
		w.err = err
		return native.Tensor{}
	}
	w.held = append(w.held, b)
	return b.Tensor(dtype, 0, columns)
}

func (w *buffers) upload(t native.Tensor, values []float32) {
	if w.err == nil {
		w.err = native.Upload(w.device, t, values)
	}
}

func (w *buffers) free() {
	for _, b := range w.held {
		w.device.Free(b)
	}
}

// MergeReport says how far a merged model is from the trained one, on the same inputs.
type MergeReport struct {
	Samples       int     `json:"samples"`
	Positions     int     `json:"positions"`
	MaxDifference float64 `json:"max_logit_difference"`
	RMSDifference float64 `json:"rms_logit_difference"`
	RMSLogit      float64 `json:"rms_logit"`
	SameNextToken float64 `json:"same_next_token"` // share of positions with the same likeliest token
}

// CompareLogits measures merged logits against trained ones, both [sample][position][vocabulary].
func CompareLogits(trained, merged [][][]float32) MergeReport {
	r := MergeReport{Samples: len(trained)}
	same, numbers := 0, 0
	for i := range trained {
		for j := range trained[i] {
			a, b := trained[i][j], merged[i][j]
			if argmax(a) == argmax(b) {
				same++
			}
			for k := range a {
				difference := float64(a[k]) - float64(b[k])
				r.MaxDifference = math.Max(r.MaxDifference, math.Abs(difference))
				r.RMSDifference += difference * difference
				r.RMSLogit += float64(a[k]) * float64(a[k])
			}
			numbers += len(a)
			r.Positions++
		}
	}
	if numbers > 0 {
		r.RMSDifference, r.RMSLogit = math.Sqrt(r.RMSDifference/float64(numbers)), math.Sqrt(r.RMSLogit/float64(numbers))
		r.SameNextToken = float64(same) / float64(r.Positions)
	}
	return r
}

func argmax(x []float32) (best int) {
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// copyModelFiles copies what a model folder holds beside its weights: configuration and tokenizer.
func copyModelFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		weights := strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".index.json") || strings.HasSuffix(name, ".bin")
		if weights || strings.HasPrefix(name, ".") || !(strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".jinja") || strings.HasSuffix(name, ".model") || strings.HasSuffix(name, ".py") || strings.HasSuffix(name, ".txt")) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, name)) // follows the links of a download cache
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(to, name), data); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
