package engine

import (
	"context"
	"errors"
	"fmt"
	"math"

	"so8t/engine/phi3"
	"so8t/engine/safetensors"
	"so8t/native"
)

// Merger folds trained tensors into weights of the base, W' = (W + s·B·A)·R. Its device holds one chunk of one weight at
// a time, never a model.
type Merger struct {
	thread *thread
	device *native.Device
}

// OpenMerger opens the device that the options name.
func OpenMerger(o Options) (*Merger, error) {
	g := &Merger{thread: newThread()}
	err := g.thread.do(func() (err error) {
		g.device, err = native.Open(o.device())
		return err
	})
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// Close frees the device.
func (g *Merger) Close() error { return g.thread.close(g.device) }

// Info describes the device.
func (g *Merger) Info() (native.Info, error) {
	var info native.Info
	err := g.thread.do(func() (err error) { info, err = g.device.Info(); return err })
	return info, err
}

func (g *Merger) run(ctx context.Context, f func() error) error {
	return g.thread.do(func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return settle(g.device, f())
	})
}

// mergeElements bounds how many elements of a weight are folded at once, in float32.
const mergeElements = 16 << 20

// dtypes are the types that a base's weights may have.
var dtypes = map[string]native.DType{"F32": native.Float32, "BF16": native.BFloat16, "F16": native.Float16}

// Merge computes the weight with everything folded in and passes it to write in order, in the bytes of t's own type,
// some rows at a time. write must not keep what it is given.
func (g *Merger) Merge(ctx context.Context, p *AdapterPlan, w *AdaptedWeight, trained Values, t safetensors.Tensor, write func([]byte) error) error {
	dtype, ok := dtypes[t.DType]
	if !ok {
		return fmt.Errorf("type %s cannot be merged", t.DType)
	}
	if len(t.Data) != w.Out*w.In*dtype.Size() {
		return fmt.Errorf("%d bytes, %d were expected", len(t.Data), w.Out*w.In*dtype.Size())
	}
	return g.run(ctx, func() error {
		s := &scratch{device: g.device}
		defer s.free()
		f := s.fold(p, w, trained, dtype)
		for _, projection := range w.Projections {
			if err := f.merge(projection, t.Data, write); err != nil {
				return err
			}
		}
		return s.err
	})
}

// fold is one weight's way through the device.
type fold struct {
	*scratch
	plan     *AdapterPlan
	weight   *AdaptedWeight
	trained  Values
	dtype    native.DType
	step     int           // rows at once
	raw      native.Tensor // the weight's own type [step, In]
	work     native.Tensor // float32 [step, In]
	rotation native.Tensor // float32 [In/8, 64]; absent without a gate
}

func (s *scratch) fold(p *AdapterPlan, w *AdaptedWeight, trained Values, dtype native.DType) *fold {
	f := &fold{scratch: s, plan: p, weight: w, trained: trained, dtype: dtype, step: min(max(1, mergeElements/w.In), w.Out)}
	f.raw, f.work = s.tensor(dtype, f.step, w.In), s.tensor(native.Float32, f.step, w.In)
	if w.Theta != nil {
		f.rotation = s.rotations(w.Theta, trained)
	}
	return f
}

// merge folds the rows of one logical projection.
func (f *fold) merge(p phi3.Projection, data []byte, write func([]byte) error) error {
	a, b := f.lora(p)
	rowBytes := f.weight.In * f.dtype.Size()
	d, in := f.device, int64(f.weight.In)
	merged := make([]byte, min(f.step, p.Rows)*rowBytes)
	for first := 0; first < p.Rows && f.err == nil; first += f.step {
		rows := int64(min(f.step, p.Rows-first))
		begin := (p.Begin + first) * rowBytes
		part := merged[:int(rows)*rowBytes]
		if err := native.Upload(d, f.raw, data[begin:begin+len(part)]); err != nil {
			return err
		}
		d.Cast(&native.Cast{Rows: rows, Columns: in, X: f.raw, Y: f.work})
		if a.Buffer != 0 { // W + (s·B)·A, as a product with Aᵀ's rows
			d.LinearForward(&native.LinearForward{Rows: rows, In: int64(f.plan.LoRA.R), Out: in, X: b.Row(first), W: a, Y: f.work, Residual: f.work})
		}
		if f.rotation.Buffer != 0 { // each row times R: Rᵀ applied to the row
			d.RotateBackward(&native.RotateBackward{Rows: rows, Blocks: in / 8, X: f.work, Rotation: f.rotation, DY: f.work, DX: f.work})
		}
		d.Cast(&native.Cast{Rows: rows, Columns: in, X: f.work, Y: f.raw})
		if err := native.Download(d, part, f.raw); err != nil {
			return err
		}
		if err := write(part); err != nil {
			return err
		}
	}
	return f.err
}

// lora uploads a projection's Aᵀ [In, r] and s·B [Rows, r]; both are absent if it has no LoRA.
func (f *fold) lora(p phi3.Projection) (a, b native.Tensor) {
	r, in := f.plan.LoRA.R, f.weight.In
	for i, s := range f.weight.Slices {
		if s.Name != p.Name {
			continue
		}
		a, b = f.tensor(native.Float32, in, r), f.tensor(native.Float32, p.Rows, r)
		f.upload(a, transpose(f.trained(f.weight.A)[i*r*in:(i+1)*r*in], r, in))
		f.upload(b, scaled(f.trained(s.B), f.plan.Scale()))
	}
	return a, b
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

// GateDeviation measures how far the gates are from rotations: the largest |RᵀR − I| of any block. By construction it is
// rounding alone; without gates it is 0.
func (g *Merger) GateDeviation(ctx context.Context, p *AdapterPlan, trained Values) (worst float64, err error) {
	for i := range p.Weights {
		theta := p.Weights[i].Theta
		if theta == nil {
			continue
		}
		rotations := make([]float32, theta.Rows*64)
		err := g.run(ctx, func() error {
			s := &scratch{device: g.device}
			defer s.free()
			r := s.rotations(theta, trained)
			if s.err != nil {
				return s.err
			}
			return native.Download(g.device, rotations, r)
		})
		if err != nil {
			return 0, err
		}
		worst = math.Max(worst, deviation(rotations))
	}
	return worst, nil
}

// deviation is the largest |RᵀR − I| over 8×8 blocks.
func deviation(blocks []float32) float64 {
	worst := 0.0
	for ; len(blocks) > 0; blocks = blocks[64:] {
		for i := range 8 {
			for j := range 8 {
				sum := 0.0
				for k := range 8 {
					sum += float64(blocks[8*k+i]) * float64(blocks[8*k+j])
				}
				if i == j {
					sum--
				}
				worst = math.Max(worst, math.Abs(sum))
			}
		}
	}
	return worst
}

// scratch allocates short-lived tensors and remembers the first error.
type scratch struct {
	device *native.Device
	held   []native.Buffer
	err    error
}

func (s *scratch) tensor(dtype native.DType, rows, columns int) native.Tensor {
	if s.err != nil {
		return native.Tensor{}
	}
	b, err := s.device.Alloc(int64(rows)*int64(columns)*int64(dtype.Size()), "merge")
	if err != nil {
		s.err = err
		return native.Tensor{}
	}
	s.held = append(s.held, b)
	return b.Tensor(dtype, 0, columns)
}

func (s *scratch) upload(t native.Tensor, values []float32) {
	if s.err == nil {
		s.err = native.Upload(s.device, t, values)
	}
}

// rotations computes R(θ), [C/8, 64].
func (s *scratch) rotations(theta *Parameter, trained Values) native.Tensor {
	t, r := s.tensor(native.Float32, theta.Rows, theta.Columns), s.tensor(native.Float32, theta.Rows, 64)
	s.upload(t, trained(theta))
	if s.err == nil {
		s.device.CayleyForward(&native.CayleyForward{Blocks: int64(theta.Rows), Theta: t, Rotation: r})
	}
	return r
}

func (s *scratch) free() {
	for _, b := range s.held {
		s.device.Free(b)
	}
}
