package native

import (
	"math"
	"testing"
)

func trainingCases() []testCase {
	return []testCase{
		{"cross_entropy", func(f *fixture) { crossEntropy(f, 11, 1003) }},
		{"cross_entropy/vocabulary", func(f *fixture) { crossEntropy(f, 3, 32064) }},
		{"cross_entropy/wide", func(f *fixture) { crossEntropy(f, 3, 36864) }}, // beyond what a GPU's registers hold of a row
		{"cross_entropy/small", func(f *fixture) { crossEntropy(f, 3, 5) }},
		{"global_norm", func(f *fixture) {
			x := f.normal(70001, Float32)
			norm := f.vector(make([]float32, 1))
			f.d.GlobalNorm(&GlobalNorm{N: 70001, X: f.vector(x), Norm: norm})
			s := 0.0
			for _, v := range x {
				s += float64(v) * float64(v)
			}
			f.check("norm", norm, 1, 1, []float64{math.Sqrt(s)}, 1e-6)
		}},
		{"adamw", func(f *fixture) { adamW(f, 20011) }},
		{"adamw8bit", func(f *fixture) { adamW8bitAnywhere(f, 1300) }},
	}
}

func crossEntropy(f *fixture, rows, columns int) {
	const scale = 0.25
	x, target := f.normal(rows*columns, f.compute), make([]int32, rows)
	for i := range x {
		x[i] *= 8
	}
	for i := range target {
		target[i] = int32(f.r.IntN(columns))
	}
	target[1] = -100
	logits, loss := f.matrix(x, columns, f.compute), f.vector(make([]float32, rows))
	p := &CrossEntropy{Rows: int64(rows), Columns: int64(columns), Logits: logits, Target: f.ints(target...), Loss: loss, Scale: scale}
	wantLoss, want := make([]float64, rows), make([]float64, rows*columns)
	for i, at := range target {
		if at < 0 {
			continue
		}
		row := doubles(x[i*columns : (i+1)*columns])
		probability, lse := probabilities([]float64{1}, row, 1)
		wantLoss[i] = lse - row[at]
		for j, v := range probability {
			want[i*columns+j] = scale * v
		}
		want[i*columns+int(at)] -= scale
	}
	f.d.CrossEntropyForward(p)
	f.check("loss", loss, 1, rows, wantLoss, 1e-5)
	f.upload(loss, make([]float32, rows))
	f.d.CrossEntropyBackward(p)
	f.check("loss of the backward pass", loss, 1, rows, wantLoss, 1e-5)
	f.check("gradient", logits, rows, columns, want, 0)
}

// adamW runs three steps with clipping in float32 states.
func adamW(f *fixture, n int) {
	const rate, beta1, beta2, epsilon, decay, maxNorm = 1e-2, 0.9, 0.999, 1e-8, 0.01, 1.0
	param := f.normal(n, Float32)
	want, m, v := doubles(param), make([]float64, n), make([]float64, n)
	pt, mt, vt, norm := f.vector(param), f.vector(make([]float32, n)), f.vector(make([]float32, n)), f.vector(make([]float32, 1))
	for step := 1; step <= 3; step++ {
		gradient := f.normal(n, Float32)
		gt := f.vector(gradient)
		f.d.GlobalNorm(&GlobalNorm{N: int64(n), X: gt, Norm: norm})
		f.d.AdamW(&AdamW{N: int64(n), Step: int64(step), Param: pt, Gradient: gt, M: mt, V: vt, Norm: norm,
			LearningRate: rate, Beta1: beta1, Beta2: beta2, Epsilon: epsilon, WeightDecay: decay, MaxNorm: maxNorm})
		squares := 0.0
		for _, g := range gradient {
			squares += float64(g) * float64(g)
		}
		clip := min(1, maxNorm/(math.Sqrt(squares)+1e-6))
		for i, g := range gradient {
			scaled := clip * float64(g)
			m[i] = beta1*m[i] + (1-beta1)*scaled
			v[i] = beta2*v[i] + (1-beta2)*scaled*scaled
			moved := m[i] / (1 - math.Pow(beta1, float64(step))) / (math.Sqrt(v[i]/(1-math.Pow(beta2, float64(step)))) + epsilon)
			want[i] = want[i]*(1-rate*decay) - rate*moved
		}
	}
	f.check("param", pt, 1, n, want, 1e-6)
	f.check("m", mt, 1, n, m, 1e-5)
	f.check("v", vt, 1, n, v, 1e-5)
}

// adamW8bitAnywhere runs three steps on the same numbers, aligned and not: where they lie changes no bit.
func adamW8bitAnywhere(f *fixture, n int) {
	blocks := (n + 255) / 256
	start, signed, unsigned := f.normal(n, Float32), f.vector(DynamicMap(true)), f.vector(DynamicMap(false))
	gradients := [][]float32{f.normal(n, Float32), f.normal(n, Float32), f.normal(n, Float32)}
	var want [3][]float64
	for offset := range 2 {
		floats := func(values []float32) Tensor {
			x := f.alloc(4*(n+1)).Tensor(Float32, offset, n)
			f.upload(x, values)
			return x
		}
		bytes := func() Tensor { return f.alloc(n+1).Tensor(UInt8, offset, n) }
		p := AdamW{N: int64(n), Param: floats(start), M: bytes(), V: bytes(), MAbsmax: f.vector(make([]float32, blocks)),
			VAbsmax: f.vector(make([]float32, blocks)),
			MCode:   signed, VCode: unsigned, LearningRate: 1e-2, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.01}
		for i, g := range gradients {
			p.Step, p.Gradient = int64(i+1), floats(g)
			f.d.AdamW(&p)
		}
		for i, x := range []Tensor{p.Param, p.MAbsmax, p.VAbsmax} {
			count := []int{n, blocks, blocks}[i]
			if offset == 0 {
				want[i] = doubles(f.read(x, 1, count))
			}
			f.check([]string{"param", "m_absmax", "v_absmax"}[i], x, 1, count, want[i], 1e-30)
		}
	}
}

// bitsandbytes' AdamW8bit and torch's AdamW over 20 steps: 8-bit states equal to the bit, parameters to float32.
func TestOracleAdamW(t *testing.T) {
	oracle := oracleOptimizer(t)
	start := oracle("param0")
	n := len(start)
	for threads := 1; threads <= 2; threads++ {
		f := newFixture(t, threads, Float32)
		blocks := (n + 255) / 256
		bytes := func() Tensor { return f.alloc(n).Tensor(UInt8, 0, n) }
		signed, unsigned := f.vector(DynamicMap(true)), f.vector(DynamicMap(false))
		p8, p32 := f.vector(start), f.vector(start)
		eight := AdamW{N: int64(n), Param: p8, M: bytes(), V: bytes(), MAbsmax: f.vector(make([]float32, blocks)), VAbsmax: f.vector(make([]float32, blocks)),
			MCode: signed, VCode: unsigned, LearningRate: 1e-2, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.01}
		whole := AdamW{N: int64(n), Param: p32, M: f.vector(make([]float32, n)), V: f.vector(make([]float32, n)),
			LearningRate: 1e-2, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.01}
		// A first state of zeros is stored as the code of zero in bitsandbytes: 0 times an absmax of 0.
		for step := 1; step <= 20; step++ {
			gradient := f.vector(oracle(name("grad%d", step)))
			eight.Step, eight.Gradient, whole.Step, whole.Gradient = int64(step), gradient, int64(step), gradient
			f.d.AdamW(&eight)
			f.d.AdamW(&whole)
			if step != 1 && step != 2 && step != 5 && step != 20 {
				continue
			}
			f.check(name("adamw.param%d", step), p32, 1, n, doubles(oracle(name("adamw.param%d", step))), 1e-6)
			f.check(name("adamw8bit.param%d", step), p8, 1, n, doubles(oracle(name("adamw8bit.param%d", step))), 1e-6)
			f.check("absmax1", eight.MAbsmax, 1, blocks, doubles(oracle(name("adamw8bit.absmax1.%d", step))), 1e-30)
			f.check("absmax2", eight.VAbsmax, 1, blocks, doubles(oracle(name("adamw8bit.absmax2.%d", step))), 1e-30)
			for state, x := range map[string]Tensor{"state1": eight.M, "state2": eight.V} {
				got, want := make([]byte, n), oracleBytes(t, name("adamw8bit."+state+".%d", step))
				if err := Download(f.d, got, x); err != nil {
					t.Fatal(err)
				}
				wrong := 0
				for i := range got {
					if got[i] != want[i] {
						wrong++
					}
				}
				if wrong > 0 {
					t.Errorf("step %d: %d of %d bytes of %s differ", step, wrong, n, state)
				}
			}
		}
		f.done()
	}
}
