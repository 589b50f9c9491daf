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
	name                                  string
	rows, width, heads, dim, inter, vocab int
	sequences                             int
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
		x := newShapeBencher(b, s)
		x.linear()
		x.head()
		x.attention()
		x.layers()
		x.optimizer()
		x.decoding()
	}
}

// shapeBencher measures the operations of one shape.
type shapeBencher struct {
	bencher
	modelShape
	n                 int64 // rows
	boundaries        []int32
	positions, sample Tensor
	hidden, dout, qkv Tensor
	logits            Tensor
	rstd              Tensor
}

func newShapeBencher(b *testing.B, s modelShape) *shapeBencher {
	x := &shapeBencher{bencher: bencher{openDevice(b, 0), b}, modelShape: s, n: int64(s.rows)}
	sample, position := make([]int32, s.rows), make([]int32, s.rows)
	for i := range s.rows {
		if i%(s.rows/s.sequences) == 0 {
			x.boundaries = append(x.boundaries, int32(i))
		}
		sample[i], position[i] = int32(len(x.boundaries)), int32(i)-x.boundaries[len(x.boundaries)-1]
	}
	x.boundaries = append(x.boundaries, int32(s.rows))
	x.positions, x.sample = x.ints(position), x.ints(sample)
	x.hidden, x.dout = x.tensor(BFloat16, s.rows, s.width), x.tensor(BFloat16, s.rows, s.width)
	x.qkv, x.logits = x.tensor(BFloat16, s.rows, 3*s.width), x.tensor(BFloat16, s.rows, s.vocab)
	x.rstd = x.tensor(Float32, 1, s.rows)
	return x
}

func (x *shapeBencher) of(op string, flops, bytes float64, call func()) {
	x.run(x.name+"/"+op, flops, bytes, call)
}

func (x *shapeBencher) elements() float64 { return float64(x.rows) * float64(x.width) } // of the hidden states

func (x *shapeBencher) linear() {
	const R = 64
	T, C, I, n := x.rows, x.width, x.inter, x.n
	dropout := Dropout{P: 0.05, Seed: 1, Sample: x.sample, Position: x.positions}
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
			x.of(l.name+"/"+op, flops, 0, call)
		}
		run("linear_forward", base+up, func() {
			x.d.LinearForward(&LinearForward{Rows: n, In: int64(l.in), Out: int64(l.out), X: in, W: w, WAbsmax: scale, Y: out, Rank: R,
				Slices: int64(l.slices), Z: z, Slice: slices})
		})
		run("linear_backward", base+down, func() {
			x.d.LinearBackward(&LinearBackward{Rows: n, In: int64(l.in), Out: int64(l.out), DY: out, W: w, WAbsmax: scale, DX: in,
				Columns: int64(columns), DZ: z, A: a, Dropout: dropout})
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
}

// head measures the products and the loss at the end of the model.
func (x *shapeBencher) head() {
	C, V, n := x.width, x.vocab, x.n
	head, logits, hidden := x.tensor(BFloat16, V, C), x.logits, x.hidden
	product := 2 * float64(n) * float64(C) * float64(V)
	x.of("lm_head/linear_forward", product, 0, func() {
		x.d.LinearForward(&LinearForward{Rows: n, In: int64(C), Out: int64(V), X: hidden, W: head, Y: logits})
	})
	x.of("lm_head/linear_backward", product, 0, func() {
		x.d.LinearBackward(&LinearBackward{Rows: n, In: int64(C), Out: int64(V), DY: logits, W: head, DX: hidden})
	})
	x.of("cross_entropy_backward", 0, 4*float64(n)*float64(V), func() {
		x.d.CrossEntropyBackward(&CrossEntropy{Rows: n, Columns: int64(V), Logits: logits, Target: x.positions, Loss: x.rstd, Scale: 1e-3})
	})
}

func (x *shapeBencher) attention() {
	C, n, qkv := x.width, x.n, x.qkv
	pairs := x.elements() * float64(x.rows/x.sequences) / 2 // multiply-adds of q k^T below the diagonal
	attention := AttentionForward{Rows: n, Sequences: int64(len(x.boundaries) - 1), Heads: int64(x.heads), KVHeads: int64(x.heads),
		HeadDim: int64(x.dim), Longest: int64(x.rows / x.sequences), Scale: 0.1,
		Q: qkv, K: qkv.Column(C), V: qkv.Column(2 * C), CuSeqlens: x.ints(x.boundaries), Out: x.hidden, LSE: x.tensor(Float32, x.heads, x.rows)}
	x.of("attention_forward", 4*pairs, 0, func() { x.d.AttentionForward(&attention) })
	dqkv := x.tensor(BFloat16, x.rows, 3*C)
	x.of("attention_backward", 10*pairs, 0, func() {
		p := attention
		x.d.AttentionBackward(&AttentionBackward{Rows: p.Rows, Sequences: p.Sequences, Heads: p.Heads, KVHeads: p.KVHeads, HeadDim: p.HeadDim,
			Longest: p.Longest, Scale: p.Scale, Q: p.Q, K: p.K, V: p.V, CuSeqlens: p.CuSeqlens, Out: p.Out, LSE: p.LSE,
			DOut: x.dout, DQ: dqkv, DK: dqkv.Column(C), DV: dqkv.Column(2 * C)})
	})
}

func (x *shapeBencher) layers() {
	C, I, n, width := x.width, x.inter, x.n, x.elements()
	hidden, dout := x.hidden, x.dout
	gateUp, inner, weight := x.tensor(BFloat16, x.rows, 2*I), x.tensor(BFloat16, x.rows, I), x.tensor(Float32, 1, C)
	table := x.tensor(Float32, x.rows, x.dim/2)
	x.of("rmsnorm_forward", 0, 4*width, func() {
		x.d.RMSNormForward(&RMSNormForward{Rows: n, Columns: int64(C), X: hidden, Weight: weight, Y: dout, RStd: x.rstd, Epsilon: 1e-5})
	})
	x.of("rmsnorm_backward", 0, 8*width, func() {
		x.d.RMSNormBackward(&RMSNormBackward{Rows: n, Columns: int64(C), X: hidden, Weight: weight, RStd: x.rstd, DY: dout, Residual: hidden, DX: dout})
	})
	x.of("rope_forward", 0, 8*width, func() {
		x.d.RopeForward(&Rope{Rows: n, Heads: int64(2 * x.heads), HeadDim: int64(x.dim), RotaryDim: int64(x.dim), TableRows: n, X: x.qkv, Cos: table,
			Sin: table, Index: x.positions})
	})
	x.of("swiglu_forward", 0, 6*float64(n)*float64(I), func() {
		x.d.SwiGLUForward(&SwiGLUForward{Rows: n, Columns: int64(I), GateUp: gateUp, Y: inner})
	})
	x.of("swiglu_backward", 0, 10*float64(n)*float64(I), func() {
		x.d.SwiGLUBackward(&SwiGLUBackward{Rows: n, Columns: int64(I), GateUp: gateUp, DY: inner, DGateUp: gateUp})
	})
	rotation := x.tensor(Float32, C/8, 64)
	x.of("rotate_backward", 0, 6*width, func() {
		x.d.RotateBackward(&RotateBackward{Rows: n, Blocks: int64(C / 8), X: hidden, Rotation: rotation, DY: dout, DX: dout, DRotation: rotation})
	})
}

func (x *shapeBencher) optimizer() {
	C := x.width
	count := 11_000_000 * C * C / 768 / 768
	param, m, v, norm := x.tensor(Float32, 1, count), x.tensor(Float32, 1, count), x.tensor(Float32, 1, count), x.tensor(Float32, 1, 1)
	x.of("global_norm", 0, 4*float64(count), func() { x.d.GlobalNorm(&GlobalNorm{N: int64(count), X: param, Norm: norm}) })
	x.of("adamw", 0, 28*float64(count), func() {
		x.d.AdamW(&AdamW{N: int64(count), Step: 1, Param: param, Gradient: param, M: m, V: v, Norm: norm, LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.99,
			Epsilon: 1e-8, MaxNorm: 1})
	})
	x.of("smallest_call", 0, 4, func() { x.d.Zero(&Zero{Rows: 1, Columns: 1, X: norm}) })
}

func (x *shapeBencher) decoding() {
	C, I := x.width, x.inter
	q8, scale := x.tensor(Int8, 2*I, C), x.tensor(Float32, 1, 2*I)
	head := x.tensor(BFloat16, x.vocab, C)
	for _, rows := range []int{1, 16} {
		in, out, logits := x.tensor(BFloat16, rows, C), x.tensor(BFloat16, rows, 2*I), x.tensor(Float32, rows, x.vocab)
		x.of(fmt.Sprintf("decode%d/linear_forward", rows), 0, 2*float64(I)*float64(C), func() {
			x.d.LinearForward(&LinearForward{Rows: int64(rows), In: int64(C), Out: int64(2 * I), X: in, W: q8, WAbsmax: scale, Y: out})
		})
		x.of(fmt.Sprintf("decode%d/lm_head", rows), 0, 2*float64(x.vocab)*float64(C), func() {
			x.d.LinearForward(&LinearForward{Rows: int64(rows), In: int64(C), Out: int64(x.vocab), X: in, W: head, Y: logits})
		})
		x.attentionCached(rows)
	}
}

// attentionCached is one query a sequence over 192 positions.
func (x *shapeBencher) attentionCached(rows int) {
	const page, pages, at = 64, 3, 191
	C := x.width
	slot, position, table := make([]int32, rows), make([]int32, rows), make([]int32, rows*pages)
	for i := range rows {
		slot[i], position[i] = int32(i), at
	}
	for i := range table {
		table[i] = int32(i)
	}
	q, out := x.tensor(BFloat16, rows, 3*C), x.tensor(BFloat16, rows, C)
	k, v := x.tensor(BFloat16, rows*pages*page, C), x.tensor(BFloat16, rows*pages*page, C)
	p := &AttentionCached{Rows: int64(rows), Heads: int64(x.heads), KVHeads: int64(x.heads), HeadDim: int64(x.dim), Slots: int64(rows), Capacity: pages * page,
		PageSize: page, PageCount: int64(rows * pages), Pages: x.ints(table), Scale: 0.1, Q: q, CacheK: k, CacheV: v, Slot: x.ints(slot),
		Position: x.ints(position), Out: out}
	x.of(fmt.Sprintf("decode%d/attention_cached", rows), 0, 4*float64(rows*(at+1)*C), func() { x.d.AttentionCached(p) })
}
