package native

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"so8t/device"
)

// calls are operations on good parameters, each of which a test spoils in one place.
type calls struct {
	*fixture
	x, y, half  Tensor // [4, 16]: float32 with numbers, float32 for results, bfloat16
	rstd, index Tensor // [4]: float32, and int32 0, 1, 2, 3
}

const callRows, callColumns = 4, 16

func newCalls(t *testing.T) *calls {
	f := newFixture(t, 2, Float32)
	return &calls{fixture: f, x: f.matrix(f.normal(callRows*callColumns, Float32), callColumns, Float32), y: f.empty(callRows, callColumns, Float32),
		half: f.empty(callRows, callColumns, BFloat16), rstd: f.vector(make([]float32, callRows)), index: f.ints(0, 1, 2, 3)}
}

func (c *calls) norm(change func(*RMSNormForward)) {
	p := RMSNormForward{Rows: callRows, Columns: callColumns, X: c.x, Weight: c.vector(c.normal(callColumns, Float32)), Y: c.y, RStd: c.rstd, Epsilon: 1e-5}
	change(&p)
	c.d.RMSNormForward(&p)
}

func (c *calls) linear(change func(*LinearForward)) {
	p := LinearForward{Rows: callRows, In: callColumns, Out: callRows, X: c.x, W: c.x, Y: c.empty(callRows, callRows, Float32), Rank: 2, Slices: 1,
		Z: c.empty(callRows, 2, Float32), Slice: [MaxSlices]LoRASlice{{OutRows: callRows, B: c.empty(callRows, 2, Float32)}}}
	change(&p)
	c.d.LinearForward(&p)
}

func (c *calls) attend(change func(*AttentionForward)) {
	p := AttentionForward{Rows: callRows, Sequences: 1, Heads: 2, KVHeads: 2, HeadDim: 8, Scale: 1, Q: c.x, K: c.x, V: c.x,
		CuSeqlens: c.ints(0, callRows), Out: c.y, LSE: c.empty(2, callRows, Float32)}
	change(&p)
	c.d.AttentionForward(&p)
}

// attendCached leaves the parameters of a slot and its pages to the test.
func (c *calls) attendCached(pages, slot, position Tensor) {
	c.d.AttentionCached(&AttentionCached{Rows: 1, Heads: 2, KVHeads: 2, HeadDim: 8, Slots: 2, Capacity: 2, PageSize: 1, PageCount: 4, Q: c.x,
		CacheK: c.y, CacheV: c.y, Pages: pages, Slot: slot, Position: position, Out: c.y})
}

func (c *calls) store(change func(*KVStore)) {
	p := KVStore{Rows: 1, Columns: callColumns, Slots: 2, Capacity: 2, PageSize: 1, PageCount: 4, K: c.x, V: c.x, CacheK: c.y, CacheV: c.y,
		Pages: c.index, Slot: c.ints(0), Position: c.ints(0)}
	change(&p)
	c.d.KVStore(&p)
}

type refusal struct {
	call func()
	want string
}

// refused expects each call to fail as a bad argument whose text names the operation and the cause. A device may find bad
// contents of memory as late as in Synchronize.
func (c *calls) refused(all []refusal) {
	c.t.Helper()
	for _, r := range all {
		c.d.Reset()
		r.call()
		if err := c.d.Synchronize(); !errors.Is(err, ErrArgument) || !strings.Contains(err.Error(), r.want) {
			c.t.Errorf("error is %v, want the bad argument %q", err, r.want)
		}
	}
	c.d.Reset()
	c.norm(func(*RMSNormForward) {})
	c.linear(func(*LinearForward) {})
	c.attend(func(*AttentionForward) {})
	c.store(func(*KVStore) {})
	c.done() // the parameters were good before each change
}

func TestTensorErrors(t *testing.T) {
	c := newCalls(t)
	small, freed := c.alloc(64), c.alloc(64)
	c.d.Free(freed)
	tight := small.Tensor(Float32, 0, callColumns)
	norm := func(change func(*RMSNormForward)) func() { return func() { c.norm(change) } }
	c.refused([]refusal{
		{norm(func(p *RMSNormForward) { p.X = Tensor{} }), "rmsnorm_forward: x [4, 16] is absent"},
		{norm(func(p *RMSNormForward) { p.X.Buffer = 987654 }), "rmsnorm_forward: x: buffer 987654 does not exist"},
		{norm(func(p *RMSNormForward) { p.X = freed.Tensor(Float32, 0, callColumns) }), "does not exist"},
		{norm(func(p *RMSNormForward) { p.Y = c.half }), "y [4, 16] has dtype bfloat16, wanted float32"},
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
		{func() { call[Zero](c.d, c.d.library.zero, nil) }, "zero: no parameters"},
	})
}

func TestLinearErrors(t *testing.T) {
	c := newCalls(t)
	linear := func(change func(*LinearForward)) func() { return func() { c.linear(change) } }
	down := func(dropout Dropout) func() {
		return func() {
			c.d.LoRADownForward(&LoRADownForward{Rows: callRows, In: callColumns, Columns: callRows, X: c.x, A: c.x,
				Z: c.empty(callRows, callRows, Float32), Dropout: dropout})
		}
	}
	c.refused([]refusal{
		{linear(func(p *LinearForward) { p.W = c.alloc(64).Tensor(Int8, 0, callColumns) }), "linear_forward: w_absmax [4] is absent"},
		{linear(func(p *LinearForward) { p.W.DType = UInt8 }), "w [4, 16] has dtype uint8, wanted float32 or bfloat16 or int8"},
		{linear(func(p *LinearForward) { p.Slices = 4 }), "slices is 4"},
		{linear(func(p *LinearForward) { p.Slices = -1 }), "slices is -1"},
		{linear(func(p *LinearForward) { p.Rank = 0 }), "rank is 0"},
		{linear(func(p *LinearForward) { p.Slice[0].OutBegin = 1 }), "slice 0 is rows 1 + 4 of 4"},
		{linear(func(p *LinearForward) { p.Slice[0].OutBegin = -1 << 62 }), "slice 0 is rows"},
		{linear(func(p *LinearForward) { p.Residual = c.half }), "residual [4, 4] has dtype bfloat16"},
		{down(Dropout{P: 1}), "lora_down_forward: dropout p is 1"},
		{down(Dropout{P: 0.5}), "dropout.sample [4] is absent"},
	})
}

func TestAttentionErrors(t *testing.T) {
	c := newCalls(t)
	attend := func(change func(*AttentionForward)) func() { return func() { c.attend(change) } }
	store := func(change func(*KVStore)) func() { return func() { c.store(change) } }
	mostHeadDim := int64(65536)
	if tested.Kind != device.CPU {
		mostHeadDim = 256
	}
	c.refused([]refusal{
		{attend(func(p *AttentionForward) { p.CuSeqlens = c.ints(0, 3) }), "attention_forward: cu_seqlens runs from 0 to 3, rows is 4"},
		{attend(func(p *AttentionForward) { p.Sequences, p.CuSeqlens = 2, c.ints(0, 5, 4) }), "cu_seqlens[2] is 4 after 5"},
		{attend(func(p *AttentionForward) { p.Longest = 3 }), "attention_forward: cu_seqlens[1] is 4 after 0, longest is 3"},
		{attend(func(p *AttentionForward) { p.Sequences, p.CuSeqlens, p.Longest = 2, c.ints(0, 1, 4), 2 }), "cu_seqlens[2] is 4 after 1, longest is 2"},
		{attend(func(p *AttentionForward) { p.Heads = 3 }), "3 heads do not divide among 2 key heads"},
		{attend(func(p *AttentionForward) { p.KVHeads = 0 }), "kv_heads is 0"},
		{attend(func(p *AttentionForward) { p.Window = -1 }), "window is -1"},
		{attend(func(p *AttentionForward) { p.HeadDim = mostHeadDim + 1 }), fmt.Sprintf("head_dim is %d, at most %d", mostHeadDim+1, mostHeadDim)},
		{store(func(p *KVStore) { p.Slot = c.ints(2) }), "kv_store: slot[0] is 2"},
		{store(func(p *KVStore) { p.Capacity, p.PageSize = 3, 2 }), "kv_store: capacity 3 is no multiple of page_size 2"},
		{func() { c.attendCached(c.index, c.ints(1), c.ints(2)) }, "attention_cached: position[0] is 2"},
		{func() { c.attendCached(c.ints(0, 1, 4, 0), c.ints(1), c.ints(1)) }, "attention_cached: pages[2] is 4"},
	})
}

func TestIndexErrors(t *testing.T) {
	c := newCalls(t)
	rope := Rope{Rows: callRows, Heads: 2, HeadDim: 8, RotaryDim: 8, TableRows: 4, X: c.x, Cos: c.x, Sin: c.x, Index: c.index}
	c.refused([]refusal{
		{func() {
			c.d.GatherRows(&GatherRows{Rows: callRows, Columns: callColumns, XRows: 3, Index: c.index, X: c.x, Y: c.y})
		}, "gather_rows: index[3] is 3, not in [0, 3)"},
		{func() {
			c.d.ScatterRows(&ScatterRows{Rows: 2, Columns: callColumns, YRows: callRows, Index: c.ints(2, 2), X: c.x, Y: c.y})
		}, "scatter_rows: index[1] is 2 after 2, not ascending"},
		{func() {
			p := rope
			p.RotaryDim = 7
			c.d.RopeForward(&p)
		}, "rope_forward: rotary_dim is 7 of head_dim 8"},
		{func() {
			p := rope
			p.Index = c.ints(0, -1, 0, 0)
			c.d.RopeBackward(&p)
		}, "rope_backward: index[1] is -1"},
		{func() {
			c.d.CrossEntropyForward(&CrossEntropy{Rows: callRows, Columns: callColumns, Logits: c.x, Target: c.ints(0, 16, 0, 0), Loss: c.rstd})
		}, "cross_entropy_forward: target[1] is 16"},
	})
}

func TestSampleAndOptimizerErrors(t *testing.T) {
	c := newCalls(t)
	sample := Sample{Rows: callRows, Columns: callColumns, X: c.x, U: c.rstd, Index: c.index, Temperature: 1, TopP: 1}
	c.refused([]refusal{
		{func() {
			p := sample
			p.Temperature = 0
			c.d.Sample(&p)
		}, "sample: temperature is 0"},
		{func() {
			p := sample
			p.TopP = 1.5
			c.d.Sample(&p)
		}, "sample: top_p is 1.5"},
		{func() { c.d.AdamW(&AdamW{N: 4, Step: 0}) }, "adamw: step is 0"},
		{func() {
			v := c.vector(make([]float32, 256))
			b := c.alloc(256).Tensor(UInt8, 0, 1)
			falling := make([]float32, 256)
			falling[0] = 1
			c.d.AdamW(&AdamW{N: 256, Step: 1, Param: v, Gradient: v, M: b, V: b, MAbsmax: c.rstd, VAbsmax: c.rstd, MCode: c.vector(falling), VCode: v})
		}, "a code book is not ascending at 1"},
	})
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
