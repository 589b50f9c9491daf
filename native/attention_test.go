package native

import (
	"fmt"
	"math"
	"slices"
)

type attentionShape struct {
	lengths                         []int
	heads, kvHeads, headDim, window int
}

func (s attentionShape) String() string {
	return fmt.Sprintf("%dsequences_%dof%dx%d_window%d", len(s.lengths), s.heads, s.kvHeads, s.headDim, s.window)
}

func (s attentionShape) rows() (rows int, boundaries []int32) {
	boundaries = []int32{0}
	for _, n := range s.lengths {
		rows += n
		boundaries = append(boundaries, int32(rows))
	}
	return rows, boundaries
}

func attentionCases() []testCase {
	var all []testCase
	for _, s := range []attentionShape{
		{[]int{1}, 1, 1, 8, 0},
		{[]int{9, 1, 40, 0, 23}, 4, 2, 24, 0},
		{[]int{72, 65, 80}, 4, 4, 48, 0},
		{[]int{150, 9}, 2, 1, 10, 0},
		{[]int{200}, 2, 2, 96, 0},
		{[]int{300, 40}, 2, 1, 32, 17},
		{[]int{270}, 1, 1, 256, 140},
		// A GPU's tiles are 32 to 128 rows of the packed matrix: sequences end within them, on their edges and far beyond.
		{[]int{60, 3, 1, 64, 0, 128, 1, 1, 90, 36}, 2, 2, 96, 0},
		{[]int{64, 64, 128, 5}, 2, 1, 64, 0},
		{[]int{330}, 1, 1, 96, 0},
		{[]int{300, 20}, 2, 2, 96, 64},
		{[]int{31, 290}, 2, 1, 48, 150},
		{[]int{20, 200}, 2, 1, 96, 2},
		{[]int{90, 50}, 20, 10, 16, 33}, // more heads than run side by side
		{[]int{97, 180}, 4, 1, 128, 0},
		{[]int{40, 100}, 2, 1, 40, 0}, // narrower than its tiles
		{[]int{120, 15}, 1, 1, 72, 0},
		{[]int{120, 15}, 1, 1, 112, 100},
		{[]int{33, 50}, 2, 1, 192, 20},
	} {
		all = append(all, testCase{"attention/" + s.String(), func(f *fixture) { attention(f, s) }})
	}
	for _, s := range []decodeShape{ // with more than 8192 positions a block takes several steps
		{9216, 1, 1, 96, 0},
		{9216, 2, 1, 16, 1500},
		{1024, 8, 1, 40, 0},
		{1024, 3, 1, 24, 0},
		{1024, 2, 2, 256, 300},
	} {
		all = append(all, testCase{"attention_cached/" + s.String(), func(f *fixture) { decode(f, s) }})
	}
	return append(all, testCase{"attention_cached", func(f *fixture) { cached(f, 0) }}, testCase{"attention_cached/window", func(f *fixture) { cached(f, 6) }})
}

// probabilities of the keys from first on for a query at row i; also the log-sum-exp.
func probabilities(q, k []float64, scale float64) (p []float64, lse float64) {
	d := len(q)
	n := len(k) / d
	p = times(q, k, 1, n, d, true)
	most := math.Inf(-1)
	for j := range p {
		p[j] *= scale
		most = max(most, p[j])
	}
	total := 0.0
	for j := range p {
		p[j] = math.Exp(p[j] - most)
		total += p[j]
	}
	for j := range p {
		p[j] /= total
	}
	return p, most + math.Log(total)
}

// head is columns [h*d, (h+1)*d) of rows [first, last) of a matrix.
func head(x []float32, width, h, d, first, last int) []float64 {
	var y []float64
	for i := first; i < last; i++ {
		y = append(y, doubles(x[i*width+h*d:i*width+(h+1)*d])...)
	}
	return y
}

func attention(f *fixture, s attentionShape) {
	rows, boundaries := s.rows()
	d, group := s.headDim, s.heads/s.kvHeads
	width, kvWidth := s.heads*d, s.kvHeads*d
	longest := slices.Max(s.lengths)
	scale := 1 / math.Sqrt(float64(d))
	q, k, v, dout := f.normal(rows*width, f.compute), f.normal(rows*kvWidth, f.compute), f.normal(rows*kvWidth, f.compute), f.normal(rows*width, f.compute)
	qt, kt, vt := f.matrix(q, width, f.compute), f.matrix(k, kvWidth, f.compute), f.matrix(v, kvWidth, f.compute)
	out, lse, cu := f.empty(rows, width, f.compute), f.empty(s.heads, rows, Float32), f.ints(boundaries...)
	f.d.AttentionForward(&AttentionForward{Rows: int64(rows), Sequences: int64(len(s.lengths)), Heads: int64(s.heads), KVHeads: int64(s.kvHeads),
		HeadDim: int64(d), Longest: int64(longest), Window: int64(s.window), Scale: scale, Q: qt, K: kt, V: vt, CuSeqlens: cu, Out: out, LSE: lse})
	// dq, dk and dv lie in one fused matrix, as the engine has them
	fused := f.empty(rows, width+2*kvWidth, f.compute)
	f.d.AttentionBackward(&AttentionBackward{Rows: int64(rows), Sequences: int64(len(s.lengths)), Heads: int64(s.heads), KVHeads: int64(s.kvHeads),
		HeadDim: int64(d), Longest: int64(longest), Window: int64(s.window), Scale: scale, Q: qt, K: kt, V: vt, CuSeqlens: cu, Out: out, LSE: lse,
		DOut: f.matrix(dout, width, f.compute), DQ: fused, DK: fused.Column(width), DV: fused.Column(width + kvWidth)})

	wantOut, wantLSE := make([]float64, rows*width), make([]float64, s.heads*rows)
	dq, dk, dv := make([]float64, rows*width), make([]float64, rows*kvWidth), make([]float64, rows*kvWidth)
	for n, length := range s.lengths {
		start := int(boundaries[n])
		for h := range s.heads {
			kv := h / group
			for i := start; i < start+length; i++ {
				first := start
				if s.window > 0 {
					first = max(start, i+1-s.window)
				}
				keys, values := head(k, kvWidth, kv, d, first, i+1), head(v, kvWidth, kv, d, first, i+1)
				query, gradient := head(q, width, h, d, i, i+1), head(dout, width, h, d, i, i+1)
				p, l := probabilities(query, keys, scale)
				o := times(p, values, 1, d, len(p), false)
				copy(wantOut[i*width+h*d:], o)
				wantLSE[h*rows+i] = l
				delta := times(gradient, o, 1, 1, d, true)[0]
				dp := times(gradient, values, 1, len(p), d, true)
				for j := range p {
					ds := p[j] * (dp[j] - delta) * scale
					for c := range d {
						dq[i*width+h*d+c] += ds * keys[j*d+c]
						dk[(first+j)*kvWidth+kv*d+c] += ds * query[c]
						dv[(first+j)*kvWidth+kv*d+c] += p[j] * gradient[c]
					}
				}
			}
		}
	}
	f.check("out", out, rows, width, wantOut, 0)
	f.check("lse", lse, s.heads, rows, wantLSE, 1e-5)
	f.check("dq", fused, rows, width, dq, 0)
	f.check("dk", fused.Column(width), rows, kvWidth, dk, 0)
	f.check("dv", fused.Column(width+kvWidth), rows, kvWidth, dv, 0)
}

// unpage reads a cache in the order of slots and positions.
func (f *fixture) unpage(cache Tensor, pages []int32, pageCount, pageSize, width int) (x []float32) {
	all := f.read(cache, pageCount*pageSize, width)
	for _, page := range pages {
		x = append(x, all[int(page)*pageSize*width:(int(page)+1)*pageSize*width]...)
	}
	return x
}

// cached stores keys and values in a scattered order, then queries from several positions.
func cached(f *fixture, window int) {
	const slots, capacity, heads, kvHeads, d, rows = 3, 20, 4, 2, 20, 4
	const pageSize, pageCount = 4, slots*capacity/4 + 2
	const width, kvWidth = heads * d, kvHeads * d
	k, v := f.normal(slots*capacity*kvWidth, f.compute), f.normal(slots*capacity*kvWidth, f.compute)
	slot, position := make([]int32, slots*capacity), make([]int32, slots*capacity)
	for i, at := range f.r.Perm(slots * capacity) {
		slot[i], position[i] = int32(at/capacity), int32(at%capacity)
	}
	// Two pages belong to no slot, the others to slots in any order.
	pages := make([]int32, slots*capacity/pageSize)
	for i, page := range f.r.Perm(pageCount)[:len(pages)] {
		pages[i] = int32(page)
	}
	table := f.ints(pages...)
	ck, cv := f.empty(pageCount*pageSize, kvWidth, f.compute), f.empty(pageCount*pageSize, kvWidth, f.compute)
	f.d.KVStore(&KVStore{Rows: slots * capacity, Columns: kvWidth, Slots: slots, Capacity: capacity, PageSize: pageSize, PageCount: pageCount,
		K: f.matrix(k, kvWidth, f.compute), V: f.matrix(v, kvWidth, f.compute), CacheK: ck, CacheV: cv, Pages: table, Slot: f.ints(slot...),
		Position: f.ints(position...)})
	keys, values := f.unpage(ck, pages, pageCount, pageSize, kvWidth), f.unpage(cv, pages, pageCount, pageSize, kvWidth)
	for i := range slot {
		at := int(slot[i])*capacity + int(position[i])
		if keys[at*kvWidth] != k[i*kvWidth] || values[at*kvWidth+kvWidth-1] != v[(i+1)*kvWidth-1] {
			f.t.Fatalf("row %d was not stored at %d", i, at)
		}
	}
	askSlot, askPosition := []int32{2, 0, 2, 1}, []int32{19, 0, 7, 12}
	q, out := f.normal(rows*width, f.compute), f.empty(rows, width, f.compute)
	scale := 1 / math.Sqrt(d)
	f.d.AttentionCached(&AttentionCached{Rows: rows, Heads: heads, KVHeads: kvHeads, HeadDim: d, Window: int64(window), Slots: slots, Capacity: capacity,
		PageSize: pageSize, PageCount: pageCount, Scale: scale, Q: f.matrix(q, width, f.compute), CacheK: ck, CacheV: cv, Pages: table,
		Slot: f.ints(askSlot...), Position: f.ints(askPosition...), Out: out})
	want := make([]float64, rows*width)
	for i := range rows {
		base, last := int(askSlot[i])*capacity, int(askPosition[i])
		first := 0
		if window > 0 {
			first = max(0, last+1-window)
		}
		for h := range heads {
			p, _ := probabilities(head(q, width, h, d, i, i+1), head(keys, kvWidth, h/(heads/kvHeads), d, base+first, base+last+1), scale)
			copy(want[i*width+h*d:], times(p, head(values, kvWidth, h/(heads/kvHeads), d, base+first, base+last+1), 1, d, len(p), false))
		}
	}
	f.check("out", out, rows, width, want, 0)
}

// One query a row, against a cache of many pages.
type decodeShape struct {
	capacity, heads, kvHeads, headDim, window int
}

func (s decodeShape) String() string {
	return fmt.Sprintf("%dpositions_%dof%dx%d_window%d", s.capacity, s.heads, s.kvHeads, s.headDim, s.window)
}

// decode queries at the ends of the spans that a GPU's blocks take, in slots whose pages are scattered.
func decode(f *fixture, s decodeShape) {
	const slots, pageSize = 2, 16
	d, group := s.headDim, s.heads/s.kvHeads
	width, kvWidth, pageCount := s.heads*d, s.kvHeads*d, slots*s.capacity/pageSize+3
	k, v := f.normal(pageCount*pageSize*kvWidth, f.compute), f.normal(pageCount*pageSize*kvWidth, f.compute)
	pages := make([]int32, slots*s.capacity/pageSize)
	for i, page := range f.r.Perm(pageCount)[:len(pages)] {
		pages[i] = int32(page)
	}
	slot := []int32{1, 0, 1, 0, 1}
	position := []int32{int32(s.capacity - 1), 255, 256, int32(f.r.IntN(s.capacity)), 0}
	rows := len(slot)
	q, scale := f.normal(rows*width, f.compute), 1/math.Sqrt(float64(d))
	out := f.empty(rows, width, f.compute)
	f.d.AttentionCached(&AttentionCached{Rows: int64(rows), Heads: int64(s.heads), KVHeads: int64(s.kvHeads), HeadDim: int64(d), Window: int64(s.window),
		Slots: slots, Capacity: int64(s.capacity), PageSize: pageSize, PageCount: int64(pageCount), Scale: scale, Q: f.matrix(q, width, f.compute),
		CacheK: f.matrix(k, kvWidth, f.compute), CacheV: f.matrix(v, kvWidth, f.compute),
		Pages: f.ints(pages...), Slot: f.ints(slot...), Position: f.ints(position...), Out: out})
	want := make([]float64, rows*width)
	for i := range rows {
		last := int(position[i])
		first := 0
		if s.window > 0 {
			first = max(0, last+1-s.window)
		}
		for h := range s.heads {
			var keys, values []float64
			for at := first; at <= last; at++ {
				row := int(pages[(int(slot[i])*s.capacity+at)/pageSize])*pageSize + at%pageSize
				keys, values = append(keys, head(k, kvWidth, h/group, d, row, row+1)...), append(values, head(v, kvWidth, h/group, d, row, row+1)...)
			}
			p, _ := probabilities(head(q, width, h, d, i, i+1), keys, scale)
			copy(want[i*width+h*d:], times(p, values, 1, d, len(p), false))
		}
	}
	f.check("out", out, rows, width, want, 0)
}
