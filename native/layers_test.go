package native

import (
	"math"
)

func layerCases() []testCase {
	return []testCase{
		{"rmsnorm", func(f *fixture) { rmsnorm(f, 13, 192, f.compute) }},
		{"rmsnorm/odd", func(f *fixture) { rmsnorm(f, 3, 77, f.compute) }},
		{"rmsnorm/long", func(f *fixture) { rmsnorm(f, 300, 1000, f.compute) }},
		{"rmsnorm/wide", func(f *fixture) { rmsnorm(f, 3, 17408, Float32) }}, // beyond what a GPU's registers hold of a row
		{"rope", func(f *fixture) { rope(f, 40, 3, 48, 48) }},
		{"rope/partial", func(f *fixture) { rope(f, 21, 2, 24, 18) }},
		{"swiglu", func(f *fixture) { swiglu(f, 30, 170) }},
		{"swiglu/wide", func(f *fixture) { swiglu(f, 70, 352) }},
		{"swiglu/one", func(f *fixture) { swiglu(f, 1, 5) }},
		{"rotate", func(f *fixture) { rotate(f, 100, 24) }},
		{"rotate/long", func(f *fixture) { rotate(f, 700, 40) }}, // several tiles of columns, many stretches of rows
		{"rotate/odd", func(f *fixture) { rotate(f, 5, 3) }},
	}
}

func rmsnorm(f *fixture, rows, columns int, weight DType) {
	const epsilon = 1e-5
	x, w, dy, residual := f.normal(rows*columns, f.compute), f.normal(columns, weight), f.normal(rows*columns, f.compute), f.normal(rows*columns, f.compute)
	xt, wt := f.matrix(x, columns, f.compute), f.matrix(w, columns, weight)
	y, rstd, dx := f.empty(rows, columns, f.compute), f.vector(make([]float32, rows)), f.matrix(residual, columns, f.compute)
	f.d.RMSNormForward(&RMSNormForward{Rows: int64(rows), Columns: int64(columns), X: xt, Weight: wt, Y: y, RStd: rstd, Epsilon: epsilon})
	f.d.RMSNormBackward(&RMSNormBackward{Rows: int64(rows), Columns: int64(columns), X: xt, Weight: wt, RStd: rstd, DY: f.matrix(dy, columns, f.compute),
		Residual: dx, DX: dx})
	want, back, scales := make([]float64, rows*columns), make([]float64, rows*columns), make([]float64, rows)
	for i := range rows {
		squares, dot := 0.0, 0.0
		for j := range columns {
			at := i*columns + j
			squares += float64(x[at]) * float64(x[at])
			dot += float64(w[j]) * float64(dy[at]) * float64(x[at])
		}
		r := 1 / math.Sqrt(squares/float64(columns)+epsilon)
		scales[i] = r
		for j := range columns {
			at := i*columns + j
			want[at] = float64(w[j]) * float64(x[at]) * r
			back[at] = float64(residual[at]) + r*(float64(w[j])*float64(dy[at])-float64(x[at])*r*r*dot/float64(columns))
		}
	}
	f.check("y", y, rows, columns, want, 0)
	f.check("rstd", rstd, 1, rows, scales, 5e-6) // some thousand float32 squares in each of eight sums
	f.check("dx", dx, rows, columns, back, 0)
}

func rope(f *fixture, rows, heads, headDim, rotaryDim int) {
	const table = 50
	half, width := rotaryDim/2, heads*headDim
	x := f.normal(rows*width, f.compute)
	index, cos, sin := make([]int32, rows), make([]float32, table*half), make([]float32, table*half)
	for i := range rows {
		index[i] = int32(f.r.IntN(table))
	}
	for i := range cos {
		s, c := math.Sincos(float64(i/half) * math.Pow(100, -float64(i%half)/float64(half)))
		cos[i], sin[i] = float32(1.1*c), float32(1.1*s) // with an attention factor
	}
	xt := f.matrix(x, width, f.compute)
	p := &Rope{Rows: int64(rows), Heads: int64(heads), HeadDim: int64(headDim), RotaryDim: int64(rotaryDim), TableRows: table, X: xt,
		Cos: f.matrix(cos, half, Float32), Sin: f.matrix(sin, half, Float32), Index: f.ints(index...)}
	turn := func(x []float64, direction float64) []float64 {
		y := append([]float64(nil), x...)
		for i := range rows {
			for h := range heads {
				for j := range half {
					a, b := i*width+h*headDim+j, i*width+h*headDim+half+j
					c, s := float64(cos[int(index[i])*half+j]), float64(sin[int(index[i])*half+j])*direction
					y[a], y[b] = x[a]*c-x[b]*s, x[b]*c+x[a]*s
				}
			}
		}
		return y
	}
	f.d.RopeForward(p)
	want := turn(doubles(x), 1)
	f.check("forward", xt, rows, width, want, 0)
	before := doubles(f.read(xt, rows, width))
	f.d.RopeBackward(p)
	f.check("backward", xt, rows, width, turn(before, -1), 0)
}

func swiglu(f *fixture, rows, columns int) {
	x, dy := f.normal(rows*2*columns, f.compute), f.normal(rows*columns, f.compute)
	xt, y := f.matrix(x, 2*columns, f.compute), f.empty(rows, columns, f.compute)
	f.d.SwiGLUForward(&SwiGLUForward{Rows: int64(rows), Columns: int64(columns), GateUp: xt, Y: y})
	want, back := make([]float64, rows*columns), make([]float64, rows*2*columns)
	for i := range rows {
		for j := range columns {
			g, u, d := float64(x[i*2*columns+j]), float64(x[i*2*columns+columns+j]), float64(dy[i*columns+j])
			s := 1 / (1 + math.Exp(-g))
			want[i*columns+j] = g * s * u
			back[i*2*columns+j] = d * u * s * (1 + g*(1-s))
			back[i*2*columns+columns+j] = d * g * s
		}
	}
	f.check("y", y, rows, columns, want, 0)
	f.d.SwiGLUBackward(&SwiGLUBackward{Rows: int64(rows), Columns: int64(columns), GateUp: xt, DY: f.matrix(dy, columns, f.compute), DGateUp: xt})
	f.check("dgate_up", xt, rows, 2*columns, back, 0)
}

// cayley is (I - A/2)^-1 (I + A/2) by the series of the inverse, which converges for the small angles of the tests.
func cayley(theta []float64) (r [8][8]float64) {
	var a, power [8][8]float64
	for i, k := 0, 0; i < 8; i++ {
		for j := i + 1; j < 8; j++ {
			a[i][j], a[j][i] = theta[k]/2, -theta[k]/2
			k++
		}
	}
	for i := range 8 {
		r[i][i], power[i][i] = 1, 2
	}
	for range 60 { // R = I + 2 (A/2 + (A/2)^2 + ...)
		var next [8][8]float64
		for i := range 8 {
			for j := range 8 {
				for k := range 8 {
					next[i][j] += power[i][k] * a[k][j]
				}
				r[i][j] += next[i][j]
			}
		}
		power = next
	}
	return r
}

// rotate tests the gates' four operations as a chain, dtheta by finite differences.
func rotate(f *fixture, rows, blocks int) {
	width := 8 * blocks
	theta, x, dy := f.normal(blocks*28, Float32), f.normal(rows*width, f.compute), f.normal(rows*width, f.compute)
	for i := range theta {
		theta[i] *= 0.1
	}
	flat := func(columns int) Tensor { return f.vector(make([]float32, blocks*columns)).WithStride(columns) }
	tt, rotation, drotation, dtheta := f.vector(theta).WithStride(28), flat(64), flat(64), flat(28)
	xt, y := f.matrix(x, width, f.compute), f.empty(rows, width, f.compute)
	dyt := f.matrix(dy, width, f.compute)
	n := int64(blocks)
	f.d.CayleyForward(&CayleyForward{Blocks: n, Theta: tt, Rotation: rotation})
	f.d.RotateForward(&RotateForward{Rows: int64(rows), Blocks: n, X: xt, Rotation: rotation, Y: y})
	f.d.RotateBackward(&RotateBackward{Rows: int64(rows), Blocks: n, X: xt, Rotation: rotation, DY: dyt, DX: dyt, DRotation: drotation})
	f.d.CayleyBackward(&CayleyBackward{Blocks: n, Theta: tt, Rotation: rotation, DRotation: drotation, DTheta: dtheta})

	want, back := make([]float64, rows*width), make([]float64, rows*width)
	rotations, gradients, angles := make([]float64, blocks*64), make([]float64, blocks*64), make([]float64, blocks*28)
	for b := range blocks {
		r := cayley(doubles(theta[b*28 : (b+1)*28]))
		for i := range 8 {
			for j := range 8 {
				rotations[b*64+i*8+j] = r[i][j]
				for t := range rows {
					at := t*width + b*8
					want[at+i] += r[i][j] * float64(x[at+j])
					back[at+j] += r[i][j] * float64(dy[at+i])
					gradients[b*64+i*8+j] += float64(dy[at+i]) * float64(x[at+j])
				}
			}
		}
		const h = 1e-5
		for k := range 28 {
			moved := doubles(theta[b*28 : (b+1)*28])
			moved[k] += h
			up := cayley(moved)
			moved[k] -= 2 * h
			down := cayley(moved)
			for i := range 64 {
				angles[b*28+k] += gradients[b*64+i] * (up[i/8][i%8] - down[i/8][i%8]) / (2 * h)
			}
		}
	}
	f.check("rotation", rotation, blocks, 64, rotations, 1e-6)
	f.check("y", y, rows, width, want, 0)
	f.check("dx", dyt, rows, width, back, 0)
	f.check("drotation", drotation, blocks, 64, gradients, 1e-5)
	f.check("dtheta", dtheta, blocks, 28, angles, 1e-5)
}
