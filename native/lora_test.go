package native

import (
	"fmt"
	"slices"

	"so8t/device"
)

type loraShape struct {
	rows, in, rank, out int
	slices              [][2]int // begin, rows
	dropout             float64
}

func loraCases() []testCase {
	one := func(rows, in, rank int, dropout float64) func(*fixture) {
		return func(f *fixture) { lora(f, loraShape{rows, in, rank, 140, [][2]int{{3, 130}}, dropout}) }
	}
	all := []testCase{
		{"lora", one(45, 200, 12, 0.1)},
		{"lora/one", one(1, 64, 4, 0.5)},
		{"lora/long", one(600, 136, 24, 0.05)},
		{"lora/kept", one(33, 50, 7, 0)},
		{"lora/deep", one(20, 1640, 16, 0.1)}, // parts of a row's sum are added
		{"lora/unequal", func(f *fixture) { lora(f, loraShape{40, 72, 16, 70, [][2]int{{0, 32}, {32, 16}, {48, 16}}, 0.1}) }},
		{"lora/alone", rowsAlone},
	}
	for _, rank := range []int{8, 16, 24, 32, 64, 96, 128, 192, 256} {
		for n := 1; n <= MaxSlices; n++ {
			s := loraShape{70, 72, rank, 24 * n, [][2]int{{0, 24}, {24, 24}, {48, 24}}[:n], 0.1}
			all = append(all, testCase{fmt.Sprintf("lora/rank%dx%d", rank, n), func(f *fixture) { lora(f, s) }})
		}
	}
	return all
}

// together uploads matrices of equal size one after another, as parameters lie.
func (f *fixture) together(values [][]float32, columns int, dtype DType) []Tensor {
	var views []Tensor
	t, row := f.matrix(slices.Concat(values...), columns, dtype), 0
	for _, v := range values {
		views = append(views, t.Row(row))
		row += len(v) / columns
	}
	return views
}

// z, dz, dx with dropout, and both gradients of an adapter.
func lora(f *fixture, s loraShape) {
	const scale = 2.0
	columns := len(s.slices) * s.rank
	dropout, sample, position := f.dropout(s.rows, s.dropout)
	x, a := f.normal(s.rows*s.in, f.compute), f.normal(columns*s.in, f.compute)
	xt, at := f.matrix(x, s.in, f.compute), f.matrix(a, s.in, f.compute)
	keep := mask(dropout, sample, position, s.in)
	dropped := slices.Clone(keep)
	for i, v := range x {
		dropped[i] *= float64(v)
	}
	z := f.empty(s.rows, columns, f.compute)
	f.d.LoRADownForward(&LoRADownForward{Rows: int64(s.rows), In: int64(s.in), Columns: int64(columns), X: xt, A: at, Z: z, Scale: scale, Dropout: dropout})
	f.check("z", z, s.rows, columns, scaled(times(dropped, doubles(a), s.rows, columns, s.in, true), scale), 0)

	dy := f.normal(s.rows*s.out, f.compute)
	var b, before [][]float32
	for _, slice := range s.slices {
		b = append(b, f.normal(slice[1]*s.rank, f.compute))
		before = append(before, f.normal(slice[1]*s.rank, Float32))
	}
	bs, grads := f.together(b, s.rank, f.compute), f.together(before, s.rank, Float32)
	up := &LoRAUpBackward{Rows: int64(s.rows), Out: int64(s.out), Rank: int64(s.rank), Slices: int64(len(s.slices)), DY: f.matrix(dy, s.out, f.compute), Z: z,
		DZ: f.empty(s.rows, columns, f.compute), Scale: scale}
	for i, slice := range s.slices {
		up.Slice[i] = LoRASlice{OutBegin: int64(slice[0]), OutRows: int64(slice[1]), B: bs[i], BGrad: grads[i]}
	}
	f.d.LoRAUpBackward(up)
	for i, slice := range s.slices {
		part := make([]float64, s.rows*slice[1])
		for r := range s.rows {
			copy(part[r*slice[1]:], doubles(dy[r*s.out+slice[0]:r*s.out+slice[0]+slice[1]]))
		}
		dz, zs := up.DZ.Column(i*s.rank), z.Column(i*s.rank)
		f.check("dz", dz, s.rows, s.rank, scaled(times(part, doubles(b[i]), s.rows, s.rank, slice[1], false), scale), 0)
		want := times(transposed(part, s.rows, slice[1]), doubles(f.read(zs, s.rows, s.rank)), slice[1], s.rank, s.rows, false)
		f.check("b_grad", grads[i], slice[1], s.rank, plus(want, before[i]), 5e-5)
	}

	add := f.normal(columns*s.in, Float32)
	grad := f.matrix(add, s.in, Float32)
	f.d.LoRADownBackward(&LoRADownBackward{Rows: int64(s.rows), In: int64(s.in), Columns: int64(columns), X: xt, DZ: up.DZ, AGrad: grad, Dropout: dropout})
	dz := doubles(f.read(up.DZ, s.rows, columns))
	f.check("a_grad", grad, columns, s.in, plus(times(transposed(dz, s.rows, columns), dropped, columns, s.in, s.rows, false), add), 5e-5)

	w, absmax, exact := f.weightOf(s.out, s.in, Int8)
	dx := f.empty(s.rows, s.in, f.compute)
	f.d.LinearBackward(&LinearBackward{Rows: int64(s.rows), In: int64(s.in), Out: int64(s.out), DY: up.DY, W: w, WAbsmax: absmax, DX: dx,
		Columns: int64(columns), DZ: up.DZ, A: at, Dropout: dropout})
	want := times(doubles(dy), exact, s.rows, s.in, s.out, false)
	for i, v := range times(dz, doubles(a), s.rows, s.in, columns, false) {
		want[i] += v * keep[i]
	}
	f.check("dx", dx, s.rows, s.in, want, 0)
}

func scaled(x []float64, by float64) []float64 {
	for i := range x {
		x[i] *= by
	}
	return x
}

func plus(x []float64, y []float32) []float64 {
	for i := range x {
		x[i] += float64(y[i])
	}
	return x
}

// rowsAlone: a row's z has the same bits alone, where blocks share its sum, and among many rows, where each block sums all.
// Two large products that cancel, one in each part, leave what rounding in this order leaves.
func rowsAlone(f *fixture) {
	const in, columns = 840, 8
	rows := 390 // the emulated card has 4 processors
	if tested.Kind == device.CUDA && f.compute == BFloat16 && f.aligned {
		rows = 96*192 + 6 // a block sums all from 96 rows a processor on
	}
	x, a := slices.Repeat(f.normal(3*in, f.compute), rows/3), f.normal(columns*in, f.compute)
	for i := range rows {
		x[i*in], x[i*in+800] = 1<<20, -1<<20
	}
	for i := range columns {
		a[i*in], a[i*in+800] = 1, 1
	}
	at := f.matrix(a, in, f.compute)
	dropout, _, _ := f.dropout(rows, 1.0/65536)
	var first []float32
	for _, n := range []int{3, rows} {
		z := f.empty(n, columns, f.compute)
		f.d.LoRADownForward(&LoRADownForward{Rows: int64(n), In: in, Columns: columns, X: f.matrix(x[:n*in], in, f.compute), A: at, Z: z,
			Scale: 1, Dropout: dropout})
		if got := f.read(z, n, columns); first == nil {
			first = got
		} else if f.compute == BFloat16 && f.aligned && !slices.Equal(got[:len(first)], first) {
			f.t.Error("a row's z depends on the others")
		}
	}
	f.out.WriteString("compared")
}
