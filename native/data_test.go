package native

import (
	"cmp"
	"math"
	"slices"
	"testing"
)

func dataCases() []testCase {
	return []testCase{
		{"zero", func(f *fixture) {
			x := f.empty(7, 33, f.compute)
			f.d.Zero(&Zero{Rows: 7, Columns: 33, X: x})
			f.check("x", x, 7, 33, make([]float64, 7*33), 0)
		}},
		{"cast", func(f *fixture) {
			values := f.normal(9*131, Float32)
			x, y, z := f.matrix(values, 131, Float32), f.empty(9, 131, f.compute), f.empty(9, 131, Float32)
			f.d.Cast(&Cast{Rows: 9, Columns: 131, X: x, Y: y})
			f.d.Cast(&Cast{Rows: 9, Columns: 131, X: y, Y: z})
			want := doubles(values)
			if f.compute == BFloat16 {
				for i, v := range values {
					want[i] = float64(fromBF16(toBF16(v)))
				}
			}
			f.check("x", z, 9, 131, want, 1e-30)
		}},
		{"cast/flat", func(f *fixture) {
			values := f.normal(4099, Float32) // one long row whose end does not fill a vector
			x, y, z := f.vector(values), f.alloc(2*len(values)).Tensor(BFloat16, 0, len(values)), f.vector(make([]float32, len(values)))
			f.d.Cast(&Cast{Rows: 1, Columns: 4099, X: x, Y: y})
			f.d.Cast(&Cast{Rows: 1, Columns: 4099, X: y, Y: z})
			want := make([]float64, len(values))
			for i, v := range values {
				want[i] = float64(fromBF16(toBF16(v)))
			}
			f.check("x", z, 1, len(values), want, 1e-30)
		}},
		{"quantize_rows", func(f *fixture) { quantizeRows(f, 6, 77) }},
		{"quantize_rows/wide", func(f *fixture) { quantizeRows(f, 3, 17408) }}, // beyond what a GPU's registers hold of a row
		{"gather_scatter", func(f *fixture) { gatherScatter(f, 20, 37) }},
		{"gather_scatter/wide", func(f *fixture) { gatherScatter(f, 20, 320) }},
		{"gather_int8", gatherInt8},
		{"sample", sampling},
		{"argmax", func(f *fixture) { argmax(f, 5, 1031) }},
		{"argmax/wide", func(f *fixture) { argmax(f, 3, 36864) }},
		{"argmax/nan", argmaxNaN},
	}
}

func quantizeRows(f *fixture, rows, columns int) {
	values := f.normal(rows*columns, f.compute)
	clear(values[2*columns : 3*columns]) // a row of zeros
	q, absmax := f.alloc(rows*f.stride(columns)).Tensor(Int8, 0, f.stride(columns)), f.vector(make([]float32, rows))
	y := f.empty(rows, columns, Float32)
	f.d.QuantizeRows(&QuantizeRows{Rows: int64(rows), Columns: int64(columns), X: f.matrix(values, columns, f.compute), Q: q, Absmax: absmax})
	f.d.DequantizeRows(&DequantizeRows{Rows: int64(rows), Columns: int64(columns), Q: q, Absmax: absmax, Y: y})
	want, largest := make([]float64, rows*columns), make([]float64, rows)
	for i := range rows {
		for _, v := range values[i*columns : (i+1)*columns] {
			largest[i] = max(largest[i], math.Abs(float64(v)))
		}
		for j := range columns {
			if at := i*columns + j; largest[i] > 0 {
				want[at] = math.RoundToEven(float64(values[at])*127/largest[i]) * largest[i] / 127
			}
		}
	}
	f.check("absmax", absmax, 1, rows, largest, 1e-30)
	f.check("w", y, rows, columns, want, 1e-6)
}

func gatherScatter(f *fixture, rows, columns int) {
	index := []int32{0, 3, 4, 9, 17}
	values := f.normal(rows*columns, f.compute)
	y, z := f.empty(len(index), columns, f.compute), f.empty(rows, columns, f.compute)
	f.d.GatherRows(&GatherRows{Rows: 5, Columns: int64(columns), XRows: int64(rows), Index: f.ints(index...), X: f.matrix(values, columns, f.compute), Y: y})
	f.d.ScatterRows(&ScatterRows{Rows: 5, Columns: int64(columns), YRows: int64(rows), Index: f.ints(index...), X: y, Y: z})
	picked, spread := make([]float64, 5*columns), make([]float64, rows*columns)
	for i, at := range index {
		copy(picked[i*columns:], doubles(values[int(at)*columns:(int(at)+1)*columns]))
		copy(spread[int(at)*columns:], picked[i*columns:(i+1)*columns])
	}
	f.check("y", y, 5, columns, picked, 1e-30)
	f.check("z", z, rows, columns, spread, 1e-30)
}

func argmax(f *fixture, rows, columns int) {
	values := f.normal(rows*columns, f.compute)
	values[3], values[700], values[900] = 50, 50, 50 // the first of three
	values[2*columns-1] = 60                         // the last column
	index, want := f.ints(make([]int32, rows)...), make([]float64, rows)
	f.d.Argmax(&Argmax{Rows: int64(rows), Columns: int64(columns), X: f.matrix(values, columns, f.compute), Index: index})
	for i := range rows {
		for j := range columns {
			if values[i*columns+j] > values[i*columns+int(want[i])] {
				want[i] = float64(j)
			}
		}
	}
	f.check("index", index, 1, rows, want, 1e-30)
}

// argmaxNaN: NaN ranks below every number; of nothing else the first column is taken.
func argmaxNaN(f *fixture) {
	const rows, columns = 4, 1031
	nan, least := float32(math.NaN()), float32(math.Inf(-1))
	values, want := f.normal(rows*columns, f.compute), []float64{900, 3, 5, 0}
	values[0], values[1], values[899], values[900], values[901] = nan, 40, nan, 50, nan
	for j := range columns {
		values[columns+j] = least
		values[2*columns+j], values[3*columns+j] = nan, nan
	}
	values[columns], values[columns+1], values[columns+2] = nan, nan, nan
	values[2*columns+5], values[2*columns+1000] = -7, -8
	index := f.ints(make([]int32, rows)...)
	f.d.Argmax(&Argmax{Rows: rows, Columns: columns, X: f.matrix(values, columns, f.compute), Index: index})
	f.check("index", index, 1, rows, want, 1e-30)
}

// gatherInt8 embeds from a quantized table, whose rows are scaled elsewhere.
func gatherInt8(f *fixture) {
	const rows, columns = 7, 48
	table, want := make([]int8, rows*columns), make([]float64, 3*columns)
	for i := range table {
		table[i] = int8(f.r.IntN(256) - 128)
	}
	x, y := f.alloc(len(table)).Tensor(Int8, 0, columns), f.empty(3, columns, f.compute)
	if err := Upload(f.d, x, table); err != nil {
		f.t.Fatal(err)
	}
	for i, at := range []int{6, 0, 6} {
		for j := range columns {
			want[i*columns+j] = float64(table[at*columns+j])
		}
	}
	f.d.GatherRows(&GatherRows{Rows: 3, Columns: columns, XRows: rows, Index: f.ints(6, 0, 6), X: x, Y: y})
	f.check("y", y, 3, columns, want, 1e-30)
}

// float16 is only cast from and to: values that are easy to get wrong.
func TestCastFloat16(t *testing.T) {
	f := newFixture(t, 1, Float32)
	half := []uint16{0x0000, 0x8000, 0x3c00, 0x7bff, 0x0001, 0x03ff, 0x7c00, 0xfc00, 0x3555}
	want := []float64{0, math.Copysign(0, -1), 1, 65504, 0x1p-24, 1023 * 0x1p-24, math.Inf(1), math.Inf(-1), 0.333251953125}
	x, y, z := f.alloc(32).Tensor(Float16, 0, 9), f.alloc(64).Tensor(Float32, 0, 9), f.alloc(32).Tensor(Float16, 0, 9)
	if err := Upload(f.d, x, half); err != nil {
		t.Fatal(err)
	}
	f.d.Cast(&Cast{Rows: 1, Columns: 9, X: x, Y: y})
	f.d.Cast(&Cast{Rows: 1, Columns: 9, X: y, Y: z})
	f.done()
	for i, v := range f.read(y, 1, 9) {
		if float64(v) != want[i] {
			t.Errorf("float16 %04x is %v, want %v", half[i], v, want[i])
		}
	}
	back := make([]uint16, 9)
	if err := Download(f.d, back, z); err != nil {
		t.Fatal(err)
	}
	for i, v := range back {
		if v != half[i] {
			t.Errorf("float16 %04x came back as %04x", half[i], v)
		}
	}
}

// sampling draws with u below, inside and at the end of each row's nucleus, which a sort finds in float64.
func sampling(f *fixture) {
	const rows, columns = 12, 2003
	x, u := f.normal(rows*columns, Float32), make([]float32, rows)
	for i := range u {
		u[i] = float32(i) / rows
	}
	copy(x[:columns], make([]float32, columns)) // one row of ties: all of it is the nucleus
	for _, c := range []struct{ temperature, topP float64 }{{1, 1}, {0.7, 0.9}, {2, 0.3}, {0.05, 0.999}} {
		index := f.ints(make([]int32, rows)...)
		f.d.Sample(&Sample{Rows: rows, Columns: columns, X: f.matrix(x, columns, Float32), U: f.vector(u), Index: index, Temperature: c.temperature,
			TopP: c.topP})
		got := f.read(index, 1, rows)
		for i := range rows {
			row := x[i*columns : (i+1)*columns]
			weights, total := make([]float64, columns), 0.0
			order := make([]int, columns)
			for j, v := range row {
				weights[j] = math.Exp(float64(v) / c.temperature)
				total += weights[j]
				order[j] = j
			}
			slices.SortFunc(order, func(a, b int) int { return cmp.Compare(row[b], row[a]) })
			least, sum := float32(math.Inf(-1)), 0.0
			for _, j := range order {
				if sum >= c.topP*total {
					break
				}
				sum += weights[j]
				least = row[j]
			}
			mass, below := 0.0, 0.0
			for j, v := range row {
				if v >= least {
					mass += weights[j]
				}
			}
			at := int(got[i])
			for j := range at {
				if row[j] >= least {
					below += weights[j]
				}
			}
			// float32 sums may put the draw a hair to either side of the exact place
			const slack = 1e-5
			if row[at] < least || below > (float64(u[i])+slack)*mass || below+weights[at] < (float64(u[i])-slack)*mass {
				f.t.Errorf("temperature %v, top_p %v, u %v: column %d, of weight %v behind %v of %v", c.temperature, c.topP, u[i], at, weights[at], below, mass)
			}
		}
		f.check("index", index, 1, rows, doubles(got), 0)
	}
}
