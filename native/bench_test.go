package native

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// The operations on the shapes of a 100-million-parameter model at 512 tokens and of the demo's model at a packed row,
// in bfloat16 on all threads: go test -run - -bench . ./native
//
// The best of all runs is reported as GFLOP/s (products) or GB/s (the rest, bytes that must move), because other
// processes only ever make a run slower.

type modelShape struct {
	name                                   string
	rows, hidden, heads, dim, inter, vocab int
	sequences                              int
}

var shapes = []modelShape{
	{"100m", 512, 768, 8, 96, 2048, 32064, 1},
	{"demo", 1008, 192, 4, 48, 512, 2000, 14},
}

type bencher struct {
	d *Device
	b *testing.B
}

func (x bencher) tensor(dtype DType, rows, columns int) Tensor {
	buffer, err := x.d.Alloc(int64(rows)*int64(columns)*int64(dtype.Size()), "bench")
	if err != nil {
		x.b.Fatal(err)
	}
	t := buffer.Tensor(dtype, 0, columns)
	n := rows * columns
	switch dtype {
	case BFloat16:
		half := make([]uint16, n)
		for i := range half {
			half[i] = toBF16(float32(i%17) * 0.01)
		}
		err = Upload(x.d, t, half)
	case Float32:
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i%13) * 0.1
		}
		err = Upload(x.d, t, values)
	case Int8:
		values := make([]int8, n)
		for i := range values {
			values[i] = int8(i % 120)
		}
		err = Upload(x.d, t, values)
	}
	if err != nil {
		x.b.Fatal(err)
	}
	return t
}

func (x bencher) ints(values []int32) Tensor {
	t := x.tensor(Int32, 1, len(values))
	if err := Upload(x.d, t, values); err != nil {
		x.b.Fatal(err)
	}
	return t
}

// run measures call, whose work is that many floating-point operations or bytes.
func (x bencher) run(name string, flops, bytes float64, call func()) {
	x.b.Run(name, func(b *testing.B) {
		best := time.Duration(math.MaxInt64)
		call()
		for b.Loop() {
			start := time.Now()
			call()
			best = min(best, time.Since(start))
		}
		if err := x.d.Err(); err != nil {
			b.Fatal(err)
		}
		if flops > 0 {
			b.ReportMetric(flops/float64(best), "GFLOP/s")
		} else {
			b.ReportMetric(bytes/float64(best), "GB/s")
		}
		b.ReportMetric(float64(best)/1e3, "best-µs")
	})
}

func BenchmarkOperations(b *testing.B) {
	for _, s := range shapes {
		x := bencher{openDevice(b, 0), b}
		T, C, I, V := s.rows, s.hidden, s.inter, s.vocab
		const R = 64
		n := int64(T)
		sample, position := make([]int32, T), make([]int32, T)
		boundaries := []int32{}
		for i := range T {
			if i%(T/s.sequences) == 0 {
				boundaries = append(boundaries, int32(i))
			}
			sample[i], position[i] = int32(len(boundaries)), int32(i)-boundaries[len(boundaries)-1]
		}
		boundaries = append(boundaries, int32(T))
		positions := x.ints(position)
		dropout := Dropout{P: 0.05, Seed: 1, Sample: x.ints(sample), Position: positions}
		for _, l := range []struct {
			name            string
			in, out, slices int
		}{{"qkv", C, 3 * C, 3}, {"o", C, C, 1}, {"gate_up", C, 2 * I, 2}, {"down", I, C, 1}} {
			columns := l.slices * R
			in, out := x.tensor(BFloat16, T, l.in), x.tensor(BFloat16, T, l.out)
			w, scale := x.tensor(Int8, l.out, l.in), x.tensor(Float32, 1, l.out)
			z, a := x.tensor(BFloat16, T, columns), x.tensor(BFloat16, columns, l.in)
			grad := x.tensor(Float32, columns, l.in)
			var slices [MaxSlices]LoRASlice
			for i := range l.slices {
				rows := l.out / l.slices
				slices[i] = LoRASlice{OutBegin: int64(i * rows), OutRows: int64(rows), B: x.tensor(BFloat16, rows, R), BGrad: x.tensor(Float32, rows, R)}
			}
			base, up, down := 2*float64(T)*float64(l.in)*float64(l.out), 2*float64(T)*R*float64(l.out), 2*float64(T)*float64(columns)*float64(l.in)
			run := func(op string, flops float64, call func()) {
				x.run(fmt.Sprintf("%s/%s/%s", s.name, l.name, op), flops, 0, call)
			}
			run("linear_forward", base+up, func() {
				x.d.LinearForward(&LinearForward{Rows: n, In: int64(l.in), Out: int64(l.out), X: in, W: w, WAbsmax: scale, Y: out, Rank: R, Slices: int64(l.slices), Z: z, Slice: slices})
			})
			run("linear_backward", base+down, func() {
				x.d.LinearBackward(&LinearBackward{Rows: n, In: int64(l.in), Out: int64(l.out), DY: out, W: w, WAbsmax: scale, DX: in, Columns: int64(columns), DZ: z, A: a, Dropout: dropout})
			})
			run("lora_down_forward", down, func() {
				x.d.LoRADownForward(&LoRADownForward{Rows: n, In: int64(l.in), Columns: int64(columns), X: in, A: a, Z: z, Scale: 2, Dropout: dropout})
			})
			run("lora_up_backward", 2*up, func() {
				x.d.LoRAUpBackward(&LoRAUpBackward{Rows: n, Out: int64(l.out), Rank: R, Slices: int64(l.slices), DY: out, Z: z, DZ: z, Scale: 2, Slice: slices})
			})
			run("lora_down_backward", down, func() {
				x.d.LoRADownBackward(&LoRADownBackward{Rows: n, In: int64(l.in), Columns: int64(columns), X: in, DZ: z, AGrad: grad, Dropout: dropout})
			})
		}
		hidden, qkv, gateUp, inner := x.tensor(BFloat16, T, C), x.tensor(BFloat16, T, 3*C), x.tensor(BFloat16, T, 2*I), x.tensor(BFloat16, T, I)
		head, logits := x.tensor(BFloat16, V, C), x.tensor(BFloat16, T, V)
		weight, rstd, lse := x.tensor(Float32, 1, C), x.tensor(Float32, 1, T), x.tensor(Float32, s.heads, T)
		table := x.tensor(Float32, T, s.dim/2)
		run := func(op string, flops, bytes float64, call func()) { x.run(s.name+"/"+op, flops, bytes, call) }
		product := 2 * float64(T) * float64(C) * float64(V)
		run("lm_head/linear_forward", product, 0, func() {
			x.d.LinearForward(&LinearForward{Rows: n, In: int64(C), Out: int64(V), X: hidden, W: head, Y: logits})
		})
		run("lm_head/linear_backward", product, 0, func() {
			x.d.LinearBackward(&LinearBackward{Rows: n, In: int64(C), Out: int64(V), DY: logits, W: head, DX: hidden})
		})
		width := float64(T) * float64(C)
		pairs := width * float64(T/s.sequences) / 2 // multiply-adds of q k^T below the diagonal
		attention := AttentionForward{Rows: n, Sequences: int64(len(boundaries) - 1), Heads: int64(s.heads), KVHeads: int64(s.heads), HeadDim: int64(s.dim), Scale: 0.1,
			Q: qkv, K: qkv.Column(C), V: qkv.Column(2 * C), CuSeqlens: x.ints(boundaries), Out: hidden, LSE: lse}
		run("attention_forward", 4*pairs, 0, func() { x.d.AttentionForward(&attention) })
		dqkv, dout := x.tensor(BFloat16, T, 3*C), x.tensor(BFloat16, T, C)
		run("attention_backward", 10*pairs, 0, func() {
			p := attention
			x.d.AttentionBackward(&AttentionBackward{Rows: p.Rows, Sequences: p.Sequences, Heads: p.Heads, KVHeads: p.KVHeads, HeadDim: p.HeadDim, Scale: p.Scale,
				Q: p.Q, K: p.K, V: p.V, CuSeqlens: p.CuSeqlens, Out: p.Out, LSE: p.LSE, DOut: dout, DQ: dqkv, DK: dqkv.Column(C), DV: dqkv.Column(2 * C)})
		})
		run("rmsnorm_forward", 0, 4*width, func() {
			x.d.RMSNormForward(&RMSNormForward{Rows: n, Columns: int64(C), X: hidden, Weight: weight, Y: dout, RStd: rstd, Epsilon: 1e-5})
		})
		run("rmsnorm_backward", 0, 8*width, func() {
			x.d.RMSNormBackward(&RMSNormBackward{Rows: n, Columns: int64(C), X: hidden, Weight: weight, RStd: rstd, DY: dout, Residual: hidden, DX: dout})
		})
		run("rope_forward", 0, 8*width, func() {
			x.d.RopeForward(&Rope{Rows: n, Heads: int64(2 * s.heads), HeadDim: int64(s.dim), RotaryDim: int64(s.dim), TableRows: n, X: qkv, Cos: table, Sin: table, Index: positions})
		})
		run("swiglu_forward", 0, 6*float64(T)*float64(I), func() {
			x.d.SwiGLUForward(&SwiGLUForward{Rows: n, Columns: int64(I), GateUp: gateUp, Y: inner})
		})
		run("swiglu_backward", 0, 10*float64(T)*float64(I), func() {
			x.d.SwiGLUBackward(&SwiGLUBackward{Rows: n, Columns: int64(I), GateUp: gateUp, DY: inner, DGateUp: gateUp})
		})
		rotation := x.tensor(Float32, C/8, 64)
		run("rotate_backward", 0, 6*width, func() {
			x.d.RotateBackward(&RotateBackward{Rows: n, Blocks: int64(C / 8), X: hidden, Rotation: rotation, DY: dout, DX: dout, DRotation: rotation})
		})
		run("cross_entropy_backward", 0, 4*float64(T)*float64(V), func() {
			x.d.CrossEntropyBackward(&CrossEntropy{Rows: n, Columns: int64(V), Logits: logits, Target: positions, Loss: rstd, Scale: 1e-3})
		})
		count := 11_000_000 * C * C / 768 / 768
		param, m, v, norm := x.tensor(Float32, 1, count), x.tensor(Float32, 1, count), x.tensor(Float32, 1, count), x.tensor(Float32, 1, 1)
		run("global_norm", 0, 4*float64(count), func() { x.d.GlobalNorm(&GlobalNorm{N: int64(count), X: param, Norm: norm}) })
		run("adamw", 0, 28*float64(count), func() {
			x.d.AdamW(&AdamW{N: int64(count), Step: 1, Param: param, Gradient: param, M: m, V: v, Norm: norm, LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-8, MaxNorm: 1})
		})
		one := x.tensor(BFloat16, 1, C)
		token, q8, scale := x.tensor(BFloat16, 1, 2*I), x.tensor(Int8, 2*I, C), x.tensor(Float32, 1, 2*I)
		run("decode/linear_forward", 0, 2*float64(I)*float64(C), func() {
			x.d.LinearForward(&LinearForward{Rows: 1, In: int64(C), Out: int64(2 * I), X: one, W: q8, WAbsmax: scale, Y: token})
		})
		run("smallest_call", 0, 4, func() { x.d.Zero(&Zero{Rows: 1, Columns: 1, X: norm}) })
	}
}
