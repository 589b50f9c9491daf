package native

import (
	"fmt"
	"math"
	"testing"

	"so8t/device"
)

// TestRowsInCompany: a row of a linear layer has the same bits alone and in company of up to 16, so that what a sequence
// answers does not depend on which others are decoded with it.
func TestRowsInCompany(t *testing.T) {
	if tested.Kind != device.CPU {
		t.Skip("a property of the CPU library")
	}
	const most, rank = 16, 9
	for _, compute := range []DType{BFloat16, Float32} {
		for _, weight := range []DType{Int8, BFloat16, Float32} {
			for _, size := range [][2]int{{75, 101}, {96, 128}, {2100, 40}} {
				in, out := size[0], size[1]
				t.Run(fmt.Sprintf("%v/%v/%dx%d", compute, weight, out, in), func(t *testing.T) {
					f := newFixture(t, 0, compute)
					w, absmax, _ := f.weightOf(out, in, weight)
					x, z := f.matrix(f.normal(most*in, compute), in, compute), f.matrix(f.normal(most*rank, compute), rank, compute)
					residual := f.matrix(f.normal(most*out, compute), out, compute)
					b := f.matrix(f.normal((out-7)*rank, compute), rank, compute)
					y := f.matrix(make([]float32, most*out), out, Float32)
					run := func(first, rows int) []float32 {
						f.d.LinearForward(&LinearForward{Rows: int64(rows), In: int64(in), Out: int64(out), X: x.Row(first), W: w, WAbsmax: absmax,
							Residual: residual.Row(first), Z: z.Row(first), Rank: rank, Slices: 1,
							Slice: [MaxSlices]LoRASlice{{OutBegin: 7, OutRows: int64(out - 7), B: b}}, Y: y})
						return f.read(y, rows, out)
					}
					together := run(0, most)
					for _, rows := range []int{1, 2, 3, 4, 5, 7, 8, 13} {
						first := 3
						got, want := run(first, rows), together[first*out:]
						for i := range rows {
							for j := range out {
								at := i*out + j
								if math.Float32bits(got[at]) != math.Float32bits(want[at]) {
									t.Fatalf("row %d of %d, output %d: %v, among %d rows %v", i, rows, j, got[at], most, want[at])
								}
							}
						}
					}
				})
			}
		}
	}
}
