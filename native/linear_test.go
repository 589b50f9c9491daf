package native

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"testing"
)

// philox4x32 is Philox4x32-10 of Salmon et al. (SC 2011), written from the paper.
func philox4x32(c [4]uint32, k [2]uint32) [4]uint32 {
	for range 10 {
		hi0, lo0 := bits.Mul32(0xD2511F53, c[0])
		hi1, lo1 := bits.Mul32(0xCD9E8D57, c[2])
		c = [4]uint32{hi1 ^ c[1] ^ k[0], lo1, hi0 ^ c[3] ^ k[1], lo0}
		k[0] += 0x9E3779B9
		k[1] += 0xBB67AE85
	}
	return c
}

// mask is the factor of dropout for [rows, columns], written from the header's description.
func mask(d Dropout, sample, position []int32, columns int) []float64 {
	m := make([]float64, len(sample)*columns)
	limit := uint32(math.Round(d.P * 65536))
	key := philox4x32([4]uint32{uint32(d.Step), uint32(d.Step >> 32), d.Layer, d.Operation}, [2]uint32{uint32(d.Seed), uint32(d.Seed >> 32)})
	for i := range sample {
		for j := range columns {
			draws := philox4x32([4]uint32{uint32(j / 8), uint32(position[i]), uint32(sample[i]), 0}, [2]uint32{key[0], key[1]})
			if number := draws[j%8/2] >> (16 * (j % 2)) & 0xffff; number >= limit {
				m[i*columns+j] = 1 / (1 - float64(limit)/65536)
			}
		}
	}
	return m
}

// Random123's test vectors for philox4x32-10.
func TestPhilox(t *testing.T) {
	if got := philox4x32([4]uint32{}, [2]uint32{}); got != [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8} {
		t.Errorf("zeros give %x", got)
	}
	want := [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}
	if got := philox4x32([4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0}); got != want {
		t.Errorf("pi gives %x", got)
	}
}

type linearShape struct {
	rows, in, out, rank int
	slices              [][2]int // begin, rows
	weight              DType
	residual            bool
}

func (s linearShape) String() string {
	return fmt.Sprintf("%dx%dx%d_%v_%d", s.rows, s.in, s.out, s.weight, len(s.slices))
}

// weightOf makes a random base weight of the dtype and its exact value.
func (f *fixture) weightOf(out, in int, dtype DType) (w, absmax Tensor, exact []float64) {
	if dtype != Int8 {
		values := f.normal(out*in, dtype)
		return f.matrix(values, in, dtype), Tensor{}, doubles(values)
	}
	stride := f.stride(in)
	q, scale := make([]int8, out*stride), make([]float32, out)
	exact = make([]float64, out*in)
	for i := range out {
		scale[i] = float32(0.5 + f.r.Float64())
		for j := range in {
			v := int8(f.r.IntN(255) - 127)
			q[i*stride+j] = v
			exact[i*in+j] = float64(v) * float64(scale[i]) / 127
		}
	}
	w = f.alloc(len(q)).Tensor(Int8, 0, stride)
	if err := Upload(f.d, w, q); err != nil {
		f.t.Fatal(err)
	}
	return w, f.vector(scale), exact
}

func linearCases() []testCase {
	shapes := []linearShape{
		{rows: 1, in: 70, out: 45, weight: Int8, rank: 4, slices: [][2]int{{0, 45}}},
		{rows: 7, in: 96, out: 200, weight: Int8, rank: 8, slices: [][2]int{{0, 96}, {96, 40}, {160, 40}}, residual: true},
		{rows: 8, in: 64, out: 33, weight: Float32},
		{rows: 9, in: 33, out: 17, weight: BFloat16, residual: true},
		{rows: 45, in: 192, out: 300, weight: Int8, rank: 5, slices: [][2]int{{10, 100}, {110, 190}}, residual: true},
		{rows: 530, in: 130, out: 140, weight: Int8, rank: 16, slices: [][2]int{{0, 140}}},
		{rows: 64, in: 1100, out: 1300, weight: Int8}, // more than one packed panel deep
		{rows: 40, in: 72, out: 136, weight: Float32, rank: 3, slices: [][2]int{{0, 136}}},
		{rows: 33, in: 65, out: 66, weight: BFloat16},
		{rows: 5, in: 64, out: 50, weight: BFloat16, rank: 8, slices: [][2]int{{0, 50}}},
		{rows: 3, in: 160, out: 45, weight: Int8, rank: 16, slices: [][2]int{{0, 20}, {20, 25}}, residual: true},
		{rows: 140, in: 264, out: 48, weight: Int8, rank: 16, slices: [][2]int{{0, 16}, {16, 16}, {32, 16}}}, // more than one tile of lora_dx
	}
	// A GPU's kernels for few rows: the numbers of rows around their tiles, one to three slices, columns that blocks share.
	for i, rows := range []int{1, 2, 7, 8, 9, 16, 17, 33, 64, 100, 128, 129} {
		slices := [][2]int{{0, 64}, {64, 70}, {134, 16}}[:i%4]
		shapes = append(shapes, linearShape{rows: rows, in: 144 + 16*i, out: 150 + 2*i, weight: []DType{Int8, Int8, BFloat16}[i%3], rank: 8 * (i % 4),
			slices: slices, residual: i%2 == 0})
	}
	shapes = append(shapes,
		linearShape{rows: 12, in: 1104, out: 264, weight: Int8, rank: 72, slices: [][2]int{{0, 128}, {128, 136}}, residual: true},
		linearShape{rows: 70, in: 700, out: 131, weight: Int8, rank: 3, slices: [][2]int{{5, 120}}},
		linearShape{rows: 20, in: 520, out: 140, weight: BFloat16, rank: 64, slices: [][2]int{{1, 9}, {10, 127}}, residual: true})
	var all []testCase
	for _, s := range shapes {
		all = append(all, testCase{"linear_forward/" + s.String(), func(f *fixture) { linearForward(f, s) }},
			testCase{"linear_backward/" + s.String(), func(f *fixture) { linearBackward(f, s) }})
	}
	return append(append(all, loraCases()...),
		testCase{"lora/float32_adapter", func(f *fixture) { float32Adapter(f, 40) }},
		testCase{"lora/float32_adapter/few", func(f *fixture) { float32Adapter(f, 2) }},
		testCase{"linear_forward/expanded/none", func(f *fixture) { expandedWeight(f, 150, 0, nil) }},
		testCase{"linear_forward/expanded/few", func(f *fixture) { expandedWeight(f, 5, 8, [][2]int{{0, 56}}) }},
		testCase{"linear_forward/expanded/read as int8", func(f *fixture) { expandedWeight(f, 100, 16, [][2]int{{0, 56}}) }},
		testCase{"linear_forward/expanded/tens", func(f *fixture) { expandedWeight(f, 40, 8, [][2]int{{0, 32}, {32, 24}}) }},
		testCase{"linear_forward/expanded/one", func(f *fixture) { expandedWeight(f, 150, 16, [][2]int{{0, 56}}) }},
		testCase{"linear_forward/expanded/two", func(f *fixture) { expandedWeight(f, 150, 8, [][2]int{{0, 28}, {28, 28}}) }},
		testCase{"linear_forward/expanded/unequal", func(f *fixture) { expandedWeight(f, 150, 8, [][2]int{{0, 32}, {32, 8}, {40, 16}}) }})
}

func linearForward(f *fixture, s linearShape) {
	x := f.normal(s.rows*s.in, f.compute)
	w, absmax, exact := f.weightOf(s.out, s.in, s.weight)
	want := times(doubles(x), exact, s.rows, s.out, s.in, true)
	columns := max(1, len(s.slices)*s.rank)
	z := f.normal(s.rows*columns, f.compute)
	p := &LinearForward{Rows: int64(s.rows), In: int64(s.in), Out: int64(s.out), W: w, WAbsmax: absmax, Rank: int64(s.rank), Slices: int64(len(s.slices))}
	p.X, p.Z = f.pair(x, s.in, z, columns, f.compute)
	for i, slice := range s.slices {
		b := f.normal(slice[1]*s.rank, f.compute)
		p.Slice[i] = LoRASlice{OutBegin: int64(slice[0]), OutRows: int64(slice[1]), B: f.matrix(b, s.rank, f.compute)}
		for r := range s.rows {
			for o := range slice[1] {
				for k := range s.rank {
					want[r*s.out+slice[0]+o] += float64(z[r*columns+i*s.rank+k]) * float64(b[o*s.rank+k])
				}
			}
		}
	}
	p.Y = f.empty(s.rows, s.out, f.compute)
	if s.residual { // y is the residual
		residual := f.normal(s.rows*s.out, f.compute)
		p.Y = f.matrix(residual, s.out, f.compute)
		p.Residual = p.Y
		for i, v := range residual {
			want[i] += float64(v)
		}
	}
	f.d.LinearForward(p)
	f.check("y", p.Y, s.rows, s.out, want, 0)
	if f.compute == BFloat16 && !s.residual { // y in float32: only the weight is rounded
		p.Y = f.empty(s.rows, s.out, Float32)
		f.d.LinearForward(p)
		f.check("y in float32", p.Y, s.rows, s.out, want, 5e-3)
	}
}

func (f *fixture) dropout(rows int, p float64) (d Dropout, sample, position []int32) {
	sample, position = make([]int32, rows), make([]int32, rows)
	for i := range rows {
		sample[i], position[i] = int32(100+i/10), int32(i%10)
	}
	return Dropout{P: p, Seed: 0x123456789abcdef0, Step: 1<<33 + 7, Layer: 3, Operation: 5, Sample: f.ints(sample...), Position: f.ints(position...)},
		sample, position
}

func linearBackward(f *fixture, s linearShape) {
	dy := f.normal(s.rows*s.out, f.compute)
	w, absmax, exact := f.weightOf(s.out, s.in, s.weight)
	base := times(doubles(dy), exact, s.rows, s.in, s.out, false)
	columns := len(s.slices) * s.rank
	for _, probability := range []float64{0, 0.2} {
		want := slices.Clone(base)
		p := &LinearBackward{Rows: int64(s.rows), In: int64(s.in), Out: int64(s.out), DY: f.matrix(dy, s.out, f.compute), W: w, WAbsmax: absmax,
			DX: f.empty(s.rows, s.in, f.compute)}
		if columns > 0 {
			dz, a := f.normal(s.rows*columns, f.compute), f.normal(columns*s.in, f.compute)
			dropout, sample, position := f.dropout(s.rows, probability)
			keep := mask(dropout, sample, position, s.in)
			for i, v := range times(doubles(dz), doubles(a), s.rows, s.in, columns, false) {
				want[i] += v * keep[i]
			}
			p.Columns, p.A, p.Dropout = int64(columns), f.matrix(a, s.in, f.compute), dropout
			p.DY, p.DZ = f.pair(dy, s.out, dz, columns, f.compute)
		}
		f.d.LinearBackward(p)
		f.check("dx", p.DX, s.rows, s.in, want, 0)
	}
}

// float32Adapter: an adapter given in float32 acts as its rounded copy does, bit for bit.
func float32Adapter(f *fixture, rows int) {
	const in, out, rank = 96, 80, 16
	spans := [][2]int{{0, 32}, {32, 48}}
	const columns = 2 * rank
	x, dy, a := f.normal(rows*in, f.compute), f.normal(rows*out, f.compute), f.normal(columns*in, Float32)
	b := [][]float32{f.normal(spans[0][1]*rank, Float32), f.normal(spans[1][1]*rank, Float32)}
	w, absmax, _ := f.weightOf(out, in, Int8)
	dropout, _, _ := f.dropout(rows, 0.1)
	var first []float32
	for _, dtype := range []DType{f.compute, Float32} {
		at := f.matrix(a, in, dtype)
		var slice [MaxSlices]LoRASlice
		for i, span := range spans {
			slice[i] = LoRASlice{OutBegin: int64(span[0]), OutRows: int64(span[1]), B: f.matrix(b[i], rank, dtype),
				BGrad: f.matrix(make([]float32, span[1]*rank), rank, Float32)}
		}
		xt, z := f.pair(x, in, make([]float32, rows*columns), columns, f.compute)
		f.d.LoRADownForward(&LoRADownForward{Rows: int64(rows), In: in, Columns: columns, X: xt, A: at, Z: z, Scale: 2, Dropout: dropout})
		y := f.empty(rows, out, f.compute)
		f.d.LinearForward(&LinearForward{Rows: int64(rows), In: in, Out: out, X: xt, W: w, WAbsmax: absmax, Y: y, Rank: rank, Slices: 2, Z: z, Slice: slice})
		dyt, dz := f.pair(dy, out, make([]float32, rows*columns), columns, f.compute)
		f.d.LoRAUpBackward(&LoRAUpBackward{Rows: int64(rows), Out: out, Rank: rank, Slices: 2, DY: dyt, Z: z, DZ: dz, Scale: 2, Slice: slice})
		got := slices.Concat(f.read(z, rows, columns), f.read(y, rows, out), f.read(dz, rows, columns))
		for _, d := range []Dropout{dropout, {}} {
			dx := f.empty(rows, in, f.compute)
			f.d.LinearBackward(&LinearBackward{Rows: int64(rows), In: in, Out: out, DY: dyt, W: w, WAbsmax: absmax, DX: dx, Columns: columns, DZ: dz,
				A: at, Dropout: d})
			got = append(got, f.read(dx, rows, in)...)
		}
		if first == nil {
			first = got
		} else if !slices.Equal(got, first) {
			f.t.Error("an adapter in float32 gives other bits than its rounded copy")
		}
	}
	f.out.WriteString("compared")
}

// expandedWeight: a weight that is kept expanded gives the bits of one that each call expands, if its rows begin on 16 bytes.
func expandedWeight(f *fixture, rows, rank int, spans [][2]int) {
	const in, out = 72, 56
	columns := len(spans) * rank
	w, absmax, _ := f.weightOf(out, in, Int8)
	unit := make([]float32, out*out)
	for i := range out {
		unit[i*out+i] = 1
	}
	plain := f.empty(out, in, f.compute)
	f.d.LinearBackward(&LinearBackward{Rows: out, In: in, Out: out, DY: f.matrix(unit, out, f.compute), W: w, WAbsmax: absmax, DX: plain})
	values, all := f.read(plain, out, in), make([]float32, (out+columns)*(in+columns))
	for i := range out {
		copy(all[i*(in+columns):], values[i*in:(i+1)*in])
	}
	for i, span := range spans {
		for o := range span[1] {
			copy(all[(span[0]+o)*(in+columns)+in+i*rank:], f.normal(rank, f.compute))
		}
	}
	for j := range columns {
		copy(all[(out+j)*(in+columns):], f.normal(in, f.compute))
	}
	expanded := f.matrix(all, in+columns, f.compute)
	var slice [MaxSlices]LoRASlice
	for i, span := range spans {
		slice[i] = LoRASlice{OutBegin: int64(span[0]), OutRows: int64(span[1]), B: expanded.Row(span[0]).Column(in + i*rank)}
	}
	wide := max(columns, 1)
	x, z := f.pair(f.normal(rows*in, f.compute), in, f.normal(rows*wide, f.compute), wide, f.compute)
	dy, dz := f.pair(f.normal(rows*out, f.compute), out, f.normal(rows*wide, f.compute), wide, f.compute)
	residual := f.matrix(f.normal(rows*out, f.compute), out, f.compute)
	dropout, _, _ := f.dropout(rows, 0.2)
	var first []float32
	for _, kept := range []Tensor{{}, expanded} {
		y := f.empty(rows, out, f.compute)
		f.d.LinearForward(&LinearForward{Rows: int64(rows), In: in, Out: out, X: x, W: w, WAbsmax: absmax, Expanded: kept, Y: y, Residual: residual,
			Rank: int64(rank), Slices: int64(len(spans)), Z: z, Slice: slice})
		got := f.read(y, rows, out)
		for _, d := range []Dropout{dropout, {}} {
			op := &LinearBackward{Rows: int64(rows), In: in, Out: out, DY: dy, W: w, WAbsmax: absmax, Expanded: kept, DX: f.empty(rows, in, f.compute)}
			if columns > 0 {
				op.Columns, op.DZ, op.A, op.Dropout = int64(columns), dz, expanded.Row(out), d
			}
			f.d.LinearBackward(op)
			got = append(got, f.read(op.DX, rows, in)...)
		}
		if first == nil {
			first = got
		}
		for i, x := range got {
			// Rows that are not aligned as those of a call's own copy may be multiplied by another algorithm.
			if rounding := 0.05 * max(1, math.Abs(float64(x))); x != first[i] && (f.aligned || math.Abs(float64(x-first[i])) > rounding) {
				f.t.Errorf("[%d] is %v by an expanded weight, %v by one that each call expands", i, x, first[i])
			}
		}
	}
	f.out.WriteString("compared")
}
