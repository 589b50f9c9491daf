package native

import (
	"fmt"
	"slices"
	"testing"
)

// TestCausalBits: a query's bits depend on no row behind it, be it in the same tile or the same warp. Large scores, alike in
// size, make a factor of nearly 1 that should be 1 show in what bfloat16 holds.
func TestCausalBits(t *testing.T) {
	const heads, longest, large = 2, 200, 32
	for _, compute := range []DType{BFloat16, Float32} {
		for _, d := range []int{64, 96, 128} {
			t.Run(fmt.Sprintf("%v/%d", compute, d), func(t *testing.T) {
				f := newFixture(t, 1, compute)
				f.aligned = true
				width := heads * d
				q, k, v := f.normal(longest*width, compute), f.normal(longest*width, compute), f.normal(longest*width, compute)
				for i := range q {
					if q[i] /= 8; i%d == 0 {
						q[i], k[i] = large, large
					}
				}
				qt, kt, vt := f.matrix(q, width, compute), f.matrix(k, width, compute), f.matrix(v, width, compute)
				run := func(rows int) []float32 {
					out, lse := f.empty(rows, width, compute), f.empty(heads, rows, Float32)
					f.d.AttentionForward(&AttentionForward{Rows: int64(rows), Sequences: 1, Heads: heads, KVHeads: heads, HeadDim: int64(d), Scale: 1,
						Q: qt, K: kt, V: vt, CuSeqlens: f.ints(0, int32(rows)), Out: out, LSE: lse})
					return f.read(out, rows, width)
				}
				whole := run(longest)
				for _, rows := range []int{1, 67, 98, 100, 133, 164, 195} {
					if got := run(rows); !slices.Equal(got, whole[:len(got)]) {
						t.Errorf("%d rows have other bits than as the first of %d", rows, longest)
					}
				}
				f.done()
			})
		}
	}
}
