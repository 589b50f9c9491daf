package native

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestSweep runs every operation at each size that decides what a kernel takes of its card: head dimensions, ranks and slices
// of LoRA, widths, numbers of rows, types, alignment. Of the emulator's notes TestKernelsFitTheirCards makes its table.
func TestSweep(t *testing.T) {
	needEmulator(t)
	if os.Getenv("SO8T_EMULATED_LAUNCHES") == "" {
		t.Skip("run by TestKernelsFitTheirCards")
	}
	all := sweep()
	if os.Getenv("SO8T_EMULATED_ARCH") == architectures[0] { // what depends on no card's limits
		for _, c := range cases() {
			if !strings.HasPrefix(c.name, "attention/") { // longer than a size needs
				all = append(all, c)
			}
		}
		all = append(all, everyType()...)
	}
	for _, c := range all {
		for _, compute := range computeTypes {
			for _, aligned := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%v/aligned=%v", c.name, compute, aligned), func(t *testing.T) {
					f := newFixture(t, 1, compute)
					f.aligned = aligned
					c.run(f)
					f.done()
				})
			}
		}
	}
}

// sweep is what may depend on a card's limits. A configuration sets ranks and slices of LoRA; a base its heads' dimension.
func sweep() []testCase {
	var all []testCase
	for d := 16; d <= 256; d += 16 {
		s := attentionShape{[]int{33}, 2, 1, d, 0}
		all = append(all, testCase{"attention/" + s.String(), func(f *fixture) { attention(f, s) }})
	}
	linear := func(rows, slices, rank int) {
		s := linearShape{rows: rows, in: 64, out: 16 * slices, weight: Int8, rank: rank}
		for i := range slices {
			s.slices = append(s.slices, [2]int{16 * i, 16})
		}
		all = append(all, testCase{fmt.Sprintf("linear/%d_rows/%d_slices_of_rank_%d", rows, slices, rank), func(f *fixture) {
			if rank%64 != 0 && !(f.compute == BFloat16 && f.aligned) {
				return // only tiles of aligned bfloat16 grow with the rank
			}
			linearForward(f, s)
			linearBackward(f, s)
		}})
	}
	for slices := 1; slices <= MaxSlices; slices++ {
		linear(20, slices, 1)
		for rank := 8; rank <= 256; rank += 8 {
			linear(20, slices, rank)
		}
		for _, rank := range []int{8, 64, 256} {
			linear(140, slices, rank) // beyond what kernels for few rows take
		}
	}
	for rows := 9; rows <= 128; rows += rows {
		for _, weight := range []DType{Int8, BFloat16} {
			s := linearShape{rows: rows, in: 128, out: 16, weight: weight}
			all = append(all, testCase{"linear_forward/" + s.String(), func(f *fixture) { linearForward(f, s) }})
		}
	}
	return all
}

// everyType takes operations through the types, numbers of rows and addresses at which no other case has them.
func everyType() []testCase {
	all := []testCase{
		{"vectors", vectors},
		{"quantize", func(f *fixture) {
			q, absmax := f.raw(3, 48, Int8), f.vector(make([]float32, 3))
			f.d.QuantizeRows(&QuantizeRows{Rows: 3, Columns: 48, X: f.raw(3, 48, Float16), Q: q, Absmax: absmax})
			f.d.DequantizeRows(&DequantizeRows{Rows: 3, Columns: 48, Q: q, Absmax: absmax, Y: f.raw(3, 48, f.compute)})
		}},
		{"rotate_back", func(f *fixture) {
			f.d.RotateBackward(&RotateBackward{Rows: 3, Blocks: 6, Rotation: f.raw(6, 64, Float32), DY: f.raw(3, 48, f.compute), DX: f.raw(3, 48, f.compute)})
		}},
		{"dx_in_float32", func(f *fixture) {
			dropout, _, _ := f.dropout(20, 0.2)
			f.d.LinearBackward(&LinearBackward{Rows: 20, In: 64, Out: 48, DY: f.raw(20, 48, f.compute), W: f.raw(48, 64, Int8),
				WAbsmax: f.vector(make([]float32, 48)), DX: f.raw(20, 64, Float32), Columns: 16, DZ: f.raw(20, 16, f.compute),
				A: f.raw(16, 64, f.compute), Dropout: dropout})
		}},
	}
	for _, x := range []DType{Float32, BFloat16, Float16} {
		for _, y := range []DType{Float32, BFloat16, Float16} {
			all = append(all, testCase{fmt.Sprintf("cast/%v_to_%v", x, y), func(f *fixture) { moved(f, x, y) }})
		}
		all = append(all, testCase{fmt.Sprintf("gather/int8_to_%v", x), func(f *fixture) {
			f.d.GatherRows(&GatherRows{Rows: 2, Columns: 48, XRows: 3, Index: f.ints(2, 0), X: f.raw(3, 48, Int8), Y: f.raw(2, 48, x)})
		}})
	}
	for rows := 1; rows <= 8; rows *= 2 {
		for _, weight := range []DType{Int8, BFloat16, Float32} {
			for _, out := range []int{40, 600} { // warps that wait for each other's loads, and enough of them
				s := linearShape{rows: rows, in: 64, out: out, weight: weight}
				added := s
				added.residual = true
				all = append(all, testCase{"few_rows/" + s.String(), func(f *fixture) {
					linearForward(f, s)
					linearForward(f, added)
				}})
			}
		}
	}
	return all
}

// raw is memory as it comes: values decide nothing about a launch.
func (f *fixture) raw(rows, columns int, dtype DType) Tensor {
	return f.alloc(rows*f.stride(columns)*dtype.Size()).Tensor(dtype, 0, f.stride(columns))
}

func moved(f *fixture, x, y DType) {
	f.d.Cast(&Cast{Rows: 3, Columns: 48, X: f.raw(3, 48, x), Y: f.raw(3, 48, y)})
	f.d.GatherRows(&GatherRows{Rows: 2, Columns: 48, XRows: 3, Index: f.ints(2, 0), X: f.raw(3, 48, x), Y: f.raw(2, 48, y)})
	if x != Float16 && y != Float16 {
		f.d.ScatterRows(&ScatterRows{Rows: 2, Columns: 48, YRows: 3, Index: f.ints(0, 2), X: f.raw(2, 48, x), Y: f.raw(3, 48, y)})
	}
}

// vectors begin at an address that no vector of elements has.
func vectors(f *fixture) {
	const n = 300
	offset := func() Tensor { return f.alloc(4*(n+1)).Tensor(Float32, 1, n) }
	norm := f.vector(make([]float32, 1))
	f.d.GlobalNorm(&GlobalNorm{N: n, X: offset(), Norm: norm})
	f.d.AdamW(&AdamW{N: n, Step: 1, Param: offset(), Gradient: offset(), M: offset(), V: offset(), LearningRate: 1e-2, Beta1: 0.9, Beta2: 0.999,
		Epsilon: 1e-8})
}
