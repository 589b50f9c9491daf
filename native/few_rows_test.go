package native

import (
	"fmt"
	"math"
	"testing"

	"so8t/device"
)

// company is numbers of rows among which a row has the same bits.
type company struct {
	most  int
	rows  []int
	first int // of the smaller numbers
}

// companies of a product: one of all numbers on a CPU, on a GPU one of those for CUDA cores and one of those for tensor cores.
func companies(compute, weight DType) []company {
	if tested.Kind == device.CPU {
		return []company{{16, []int{1, 2, 3, 4, 5, 7, 8, 13}, 3}}
	}
	if weight != Int8 && weight != compute {
		return nil // cuBLASLt's
	}
	all := []company{{8, []int{1, 2, 3, 4, 5}, 3}}
	if compute == BFloat16 {
		all = append(all, company{128, []int{9, 16, 17, 33, 64, 100}, 21})
	}
	return all
}

// TestRowsInCompany: a row of a linear layer has the same bits alone and in company, so that what a sequence answers does not
// depend on which others are decoded with it.
func TestRowsInCompany(t *testing.T) {
	for _, compute := range []DType{BFloat16, Float32} {
		for _, weight := range []DType{Int8, BFloat16, Float32} {
			for _, c := range companies(compute, weight) {
				for _, size := range [][2]int{{75, 101}, {96, 128}, {2112, 40}, {2100, 40}} {
					t.Run(fmt.Sprintf("%v/%v/%dx%d/%d", compute, weight, size[1], size[0], c.most), func(t *testing.T) {
						rowsInCompany(t, c, compute, weight, size[0], size[1])
					})
				}
			}
		}
	}
}

func rowsInCompany(t *testing.T, c company, compute, weight DType, in, out int) {
	const rank = 9
	f := newFixture(t, 0, compute)
	f.aligned = in%16 == 0
	w, absmax, _ := f.weightOf(out, in, weight)
	x, z := f.matrix(f.normal(c.most*in, compute), in, compute), f.matrix(f.normal(c.most*rank, compute), rank, compute)
	residual := f.matrix(f.normal(c.most*out, compute), out, compute)
	b := f.matrix(f.normal((out-7)*rank, compute), rank, compute)
	y := f.matrix(make([]float32, c.most*out), out, Float32)
	run := func(first, rows int) []float32 {
		f.d.LinearForward(&LinearForward{Rows: int64(rows), In: int64(in), Out: int64(out), X: x.Row(first), W: w, WAbsmax: absmax,
			Residual: residual.Row(first), Z: z.Row(first), Rank: rank, Slices: 1,
			Slice: [MaxSlices]LoRASlice{{OutBegin: 7, OutRows: int64(out - 7), B: b}}, Y: y})
		return f.read(y, rows, out)
	}
	together := run(0, c.most)
	for _, rows := range c.rows {
		got, want := run(c.first, rows), together[c.first*out:]
		for i := range rows {
			for j := range out {
				at := i*out + j
				if math.Float32bits(got[at]) != math.Float32bits(want[at]) {
					t.Fatalf("row %d of %d, output %d: %v, among %d rows %v", i, rows, j, got[at], c.most, want[at])
				}
			}
		}
	}
}

// TestEveryInt8: each value of an int8 weight is itself in every product of few rows, whose only other factors are ones.
func TestEveryInt8(t *testing.T) {
	const in, out = 32, 256
	for _, compute := range []DType{BFloat16, Float32} {
		for _, rows := range []int{1, 2, 4, 8, 9} {
			f := newFixture(t, 0, compute)
			f.aligned = true
			stride := f.stride(in)
			q, x, scale := make([]int8, out*stride), make([]float32, rows*in), make([]float32, out)
			for i := range out {
				q[i*stride+i%in] = int8(i - 128)
				scale[i] = 127
			}
			for i := range x {
				x[i] = 1
			}
			w := f.alloc(len(q)).Tensor(Int8, 0, stride)
			if err := Upload(f.d, w, q); err != nil {
				t.Fatal(err)
			}
			y := f.empty(rows, out, Float32)
			f.d.LinearForward(&LinearForward{Rows: int64(rows), In: in, Out: out, X: f.matrix(x, in, compute), W: w, WAbsmax: f.vector(scale), Y: y})
			for i, v := range f.read(y, rows, out) {
				if want := float32(i%out - 128); v != want {
					t.Errorf("%v, %d rows: %v for %v", compute, rows, v, want)
				}
			}
		}
	}
}
