package native

import (
	"strings"
	"testing"
)

// Bad calls are errors that name the operation and the cause, never a crash; each starts from good parameters. What only
// the contents of memory tell, a device may find out as late as in Synchronize.
func TestErrors(t *testing.T) {
	f := newFixture(t, 2, Float32)
	d := f.d
	const rows, columns = 4, 16
	x, y := f.matrix(f.normal(rows*columns, Float32), columns, Float32), f.empty(rows, columns, Float32)
	half := f.empty(rows, columns, BFloat16)
	small, freed := f.alloc(64), f.alloc(64)
	d.Free(freed)
	rstd, index := f.vector(make([]float32, rows)), f.ints(0, 1, 2, 3)
	tight := small.Tensor(Float32, 0, columns)
	none := Tensor{}
	norm := func(change func(*RMSNormForward)) func() {
		return func() {
			p := RMSNormForward{Rows: rows, Columns: columns, X: x, Weight: f.vector(f.normal(columns, Float32)), Y: y, RStd: rstd, Epsilon: 1e-5}
			change(&p)
			d.RMSNormForward(&p)
		}
	}
	linear := func(change func(*LinearForward)) func() {
		return func() {
			p := LinearForward{Rows: rows, In: columns, Out: rows, X: x, W: x, Y: f.empty(rows, rows, Float32), Rank: 2, Slices: 1,
				Z: f.empty(rows, 2, Float32), Slice: [MaxSlices]LoRASlice{{OutRows: rows, B: f.empty(rows, 2, Float32)}}}
			change(&p)
			d.LinearForward(&p)
		}
	}
	attend := func(change func(*AttentionForward)) func() {
		return func() {
			p := AttentionForward{Rows: rows, Sequences: 1, Heads: 2, KVHeads: 2, HeadDim: 8, Scale: 1, Q: x, K: x, V: x, CuSeqlens: f.ints(0, rows), Out: y, LSE: f.empty(2, rows, Float32)}
			change(&p)
			d.AttentionForward(&p)
		}
	}
	for _, c := range []struct {
		call func()
		want string
	}{
		{norm(func(p *RMSNormForward) { p.X = none }), "rmsnorm_forward: x [4, 16] is absent"},
		{norm(func(p *RMSNormForward) { p.X.Buffer = 987654 }), "rmsnorm_forward: x: buffer 987654 does not exist"},
		{norm(func(p *RMSNormForward) { p.X = freed.Tensor(Float32, 0, columns) }), "does not exist"},
		{norm(func(p *RMSNormForward) { p.Y = half }), "y [4, 16] has dtype bfloat16, wanted float32"},
		{norm(func(p *RMSNormForward) { p.X.DType = 77 }), "has dtype unknown"},
		{norm(func(p *RMSNormForward) { p.X.DType = -1 }), "has dtype unknown"},
		{norm(func(p *RMSNormForward) { p.X.Stride = 15 }), "x [4, 16] has stride 15"},
		{norm(func(p *RMSNormForward) { p.X.Stride = -16 }), "has stride -16"},
		{norm(func(p *RMSNormForward) { p.X.Stride = 1 << 62 }), "needs"},
		{norm(func(p *RMSNormForward) { p.X.Offset = 1 << 63 }), "at offset 9223372036854775808"},
		{norm(func(p *RMSNormForward) { p.X.Offset = 2 }), "offset 2 is no multiple"},
		{norm(func(p *RMSNormForward) { p.X = tight }), `x [4, 16] float32 needs 256 bytes at offset 0, buffer`},
		{norm(func(p *RMSNormForward) { p.X = tight }), `"test" has 64`},
		{norm(func(p *RMSNormForward) { p.Rows = -1 }), "rmsnorm_forward: rows is -1"},
		{norm(func(p *RMSNormForward) { p.Rows = 1 << 50 }), "rows is 1125899906842624"},
		{norm(func(p *RMSNormForward) { p.Columns = 0 }), "columns is 0"},
		{linear(func(p *LinearForward) { p.W = f.alloc(64).Tensor(Int8, 0, columns) }), "linear_forward: w_absmax [4] is absent"},
		{linear(func(p *LinearForward) { p.W.DType = UInt8 }), "w [4, 16] has dtype uint8, wanted float32 or bfloat16 or int8"},
		{linear(func(p *LinearForward) { p.Slices = 4 }), "slices is 4"},
		{linear(func(p *LinearForward) { p.Slices = -1 }), "slices is -1"},
		{linear(func(p *LinearForward) { p.Rank = 0 }), "rank is 0"},
		{linear(func(p *LinearForward) { p.Slice[0].OutBegin = 1 }), "slice 0 is rows 1 + 4 of 4"},
		{linear(func(p *LinearForward) { p.Slice[0].OutBegin = -1 << 62 }), "slice 0 is rows"},
		{linear(func(p *LinearForward) { p.Residual = half }), "residual [4, 4] has dtype bfloat16"},
		{func() {
			d.LoRADownForward(&LoRADownForward{Rows: rows, In: columns, Columns: rows, X: x, A: x, Z: f.empty(rows, rows, Float32), Dropout: Dropout{P: 1}})
		}, "lora_down_forward: dropout p is 1"},
		{func() {
			d.LoRADownForward(&LoRADownForward{Rows: rows, In: columns, Columns: rows, X: x, A: x, Z: f.empty(rows, rows, Float32), Dropout: Dropout{P: 0.5}})
		}, "dropout.sample [4] is absent"},
		{attend(func(p *AttentionForward) { p.CuSeqlens = f.ints(0, 3) }), "attention_forward: cu_seqlens runs from 0 to 3, rows is 4"},
		{attend(func(p *AttentionForward) { p.Sequences, p.CuSeqlens = 2, f.ints(0, 5, 4) }), "cu_seqlens[2] is 4 after 5"},
		{attend(func(p *AttentionForward) { p.Heads = 3 }), "3 heads do not divide among 2 key heads"},
		{attend(func(p *AttentionForward) { p.KVHeads = 0 }), "kv_heads is 0"},
		{attend(func(p *AttentionForward) { p.Window = -1 }), "window is -1"},
		{func() {
			d.GatherRows(&GatherRows{Rows: rows, Columns: columns, XRows: 3, Index: index, X: x, Y: y})
		}, "gather_rows: index[3] is 3, not in [0, 3)"},
		{func() {
			d.ScatterRows(&ScatterRows{Rows: 2, Columns: columns, YRows: rows, Index: f.ints(2, 2), X: x, Y: y})
		}, "scatter_rows: index[1] is 2 after 2, not ascending"},
		{func() {
			d.RopeForward(&Rope{Rows: rows, Heads: 2, HeadDim: 8, RotaryDim: 7, TableRows: 4, X: x, Cos: x, Sin: x, Index: index})
		}, "rope_forward: rotary_dim is 7 of head_dim 8"},
		{func() {
			d.RopeBackward(&Rope{Rows: rows, Heads: 2, HeadDim: 8, RotaryDim: 8, TableRows: 4, X: x, Cos: x, Sin: x, Index: f.ints(0, -1, 0, 0)})
		}, "rope_backward: index[1] is -1"},
		{func() {
			d.CrossEntropyForward(&CrossEntropy{Rows: rows, Columns: columns, Logits: x, Target: f.ints(0, 16, 0, 0), Loss: rstd})
		}, "cross_entropy_forward: target[1] is 16"},
		{func() {
			d.KVStore(&KVStore{Rows: 1, Columns: columns, Slots: 2, Capacity: 2, PageSize: 1, PageCount: 4, K: x, V: x, CacheK: y, CacheV: y, Pages: index, Slot: f.ints(2), Position: f.ints(0)})
		}, "kv_store: slot[0] is 2"},
		{func() {
			d.AttentionCached(&AttentionCached{Rows: 1, Heads: 2, KVHeads: 2, HeadDim: 8, Slots: 2, Capacity: 2, PageSize: 1, PageCount: 4, Q: x, CacheK: y, CacheV: y, Pages: index, Slot: f.ints(1), Position: f.ints(2), Out: y})
		}, "attention_cached: position[0] is 2"},
		{func() {
			d.AttentionCached(&AttentionCached{Rows: 1, Heads: 2, KVHeads: 2, HeadDim: 8, Slots: 2, Capacity: 2, PageSize: 1, PageCount: 4, Q: x, CacheK: y, CacheV: y, Pages: f.ints(0, 1, 4, 0), Slot: f.ints(1), Position: f.ints(1), Out: y})
		}, "attention_cached: pages[2] is 4"},
		{func() {
			d.KVStore(&KVStore{Rows: 1, Columns: columns, Slots: 1, Capacity: 3, PageSize: 2, PageCount: 2, K: x, V: x, CacheK: y, CacheV: y, Pages: index, Slot: f.ints(0), Position: f.ints(0)})
		}, "kv_store: capacity 3 is no multiple of page_size 2"},
		{func() {
			d.Sample(&Sample{Rows: rows, Columns: columns, X: x, U: rstd, Index: index, TopP: 1})
		}, "sample: temperature is 0"},
		{func() {
			d.Sample(&Sample{Rows: rows, Columns: columns, X: x, U: rstd, Index: index, Temperature: 1, TopP: 1.5})
		}, "sample: top_p is 1.5"},
		{func() { d.AdamW(&AdamW{N: 4, Step: 0}) }, "adamw: step is 0"},
		{func() {
			v := f.vector(make([]float32, 256))
			b := f.alloc(256).Tensor(UInt8, 0, 1)
			falling := make([]float32, 256)
			falling[0] = 1
			d.AdamW(&AdamW{N: 256, Step: 1, Param: v, Gradient: v, M: b, V: b, MAbsmax: rstd, VAbsmax: rstd, MCode: f.vector(falling), VCode: v})
		}, "a code book is not ascending at 1"},
		{func() { call[Zero](d, d.library.zero, nil) }, "zero: no parameters"},
	} {
		d.Reset()
		c.call()
		if err := d.Synchronize(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want %q", err, c.want)
		}
	}
	d.Reset()
	norm(func(*RMSNormForward) {})()
	linear(func(*LinearForward) {})()
	attend(func(*AttentionForward) {})()
	f.done() // the parameters were good before each change
}

func TestTransferErrors(t *testing.T) {
	f := newFixture(t, 1, Float32)
	b := f.alloc(64)
	x := b.Tensor(Float32, 8, 1)
	if err := Upload(f.d, x, make([]float32, 9)); err == nil || !strings.Contains(err.Error(), "upload: 36 bytes at offset 32, buffer") {
		t.Errorf("upload beyond the end: %v", err)
	}
	f.d.Reset()
	x.Offset = 1 << 63
	if err := Download(f.d, make([]float32, 1), x); err == nil || !strings.Contains(err.Error(), "download: 4 bytes at offset") {
		t.Errorf("download beyond the end: %v", err)
	}
	f.d.Reset()
	f.d.Free(b)
	f.d.Free(b)
	if err := f.d.Err(); err == nil || !strings.Contains(err.Error(), "free: buffer") {
		t.Errorf("freed twice: %v", err)
	}
}

// The first error stays, and what follows it does nothing.
func TestStickyError(t *testing.T) {
	f := newFixture(t, 1, Float32)
	x := f.vector([]float32{1})
	f.d.Zero(&Zero{Rows: -1, Columns: 1, X: x})
	first := f.d.Err()
	f.d.Zero(&Zero{Rows: 1, Columns: 1, X: x})
	f.d.Zero(&Zero{Rows: -2, Columns: 1, X: x})
	if f.d.Err() != first {
		t.Errorf("error became %v", f.d.Err())
	}
	f.d.Reset()
	if v := f.read(x, 1, 1)[0]; v != 1 {
		t.Errorf("x is %v: an operation ran after a failure", v)
	}
	if err := f.d.Close(); err != nil {
		t.Error(err)
	}
	f.d.Zero(&Zero{Rows: 1, Columns: 1, X: x})
	if err := f.d.Err(); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: %v", err)
	}
	if err := f.d.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// No rows are no work, and no error.
func TestNoRows(t *testing.T) {
	f := newFixture(t, 2, BFloat16)
	x, v := f.empty(1, 16, BFloat16), f.vector(make([]float32, 16))
	f.d.RMSNormForward(&RMSNormForward{Columns: 16, X: x, Weight: v, Y: x, RStd: v, Epsilon: 1})
	f.d.LinearForward(&LinearForward{In: 16, Out: 1, X: x, W: x, Y: x})
	f.d.AttentionForward(&AttentionForward{Heads: 1, KVHeads: 1, HeadDim: 16, Q: x, K: x, V: x, CuSeqlens: f.ints(0), Out: x, LSE: v})
	f.d.CrossEntropyBackward(&CrossEntropy{Columns: 16, Logits: x, Target: f.ints(0), Loss: v})
	f.done()
}
