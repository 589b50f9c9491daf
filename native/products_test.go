package native

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// product is so8t_emulated_product_params.
type product struct {
	m, n, k, dtype, a, lda, transposeA, b, ldb, transposeB, c, ldc, cDType, residual, ldResidual, batch, strideA, strideB, strideC int64
	alpha, beta                                                                                                                    float32
}

// emulated returns a function of the emulated library besides the ABI.
func emulated(t *testing.T, d *Device, name string) uintptr {
	t.Helper()
	handle, err := purego.Dlopen(d.library.path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Fatal(err)
	}
	address, err := purego.Dlsym(handle, name)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func (f *fixture) multiply(p *product) {
	f.t.Helper()
	if code, _, _ := purego.SyscallN(emulated(f.t, f.d, "so8t_emulated_product"), f.d.context, uintptr(unsafe.Pointer(p))); int32(code) != codeOK {
		f.t.Fatal(f.d.lastError())
	}
}

func (f *fixture) heuristics() int64 {
	n, _, _ := purego.SyscallN(emulated(f.t, f.d, "so8t_emulated_heuristics"))
	return int64(n)
}

// operand uploads a batch of matrices [rows, columns], with gaps of garbage between rows and between matrices.
func (f *fixture) operand(batch, rows, columns int, dtype DType) (x Tensor, values []float32, ld, stride int64) {
	f.t.Helper()
	ld = int64(f.stride(columns))
	stride = ld * int64(rows+2)
	wide := slices.Repeat([]float32{1e30}, batch*int(stride))
	values = f.normal(batch*rows*columns, dtype)
	for i := range batch * rows {
		at := i/rows*int(stride) + i%rows*int(ld)
		copy(wide[at:], values[i*columns:(i+1)*columns])
	}
	x = f.alloc(len(wide)*dtype.Size()).Tensor(dtype, 0, int(ld))
	f.upload(x, wide)
	return x, values, ld, stride
}

type productCase struct {
	m, n, k, batch         int
	transposeA, transposeB bool
	beta                   float32
	residual               string // "", "itself", "apart"
	dtype, cDType          DType
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// run multiplies and compares with float64.
func (c productCase) run(f *fixture) {
	f.t.Helper()
	turned := func(rows, columns int, transposed bool) (int, int) {
		if transposed {
			return columns, rows
		}
		return rows, columns
	}
	aRows, aColumns := turned(c.m, c.k, c.transposeA)
	bRows, bColumns := turned(c.k, c.n, c.transposeB)
	a, aValues, lda, strideA := f.operand(c.batch, aRows, aColumns, c.dtype)
	b, bValues, ldb, strideB := f.operand(c.batch, bRows, bColumns, c.dtype)
	y, before, ldc, strideC := f.operand(c.batch, c.m, c.n, c.cDType)
	p := &product{m: int64(c.m), n: int64(c.n), k: int64(c.k), dtype: int64(c.dtype), a: int64(a.Buffer), lda: lda, transposeA: flag(c.transposeA),
		b: int64(b.Buffer), ldb: ldb, transposeB: flag(c.transposeB), c: int64(y.Buffer), ldc: ldc, cDType: int64(c.cDType), batch: int64(c.batch),
		alpha: 0.5, beta: c.beta}
	if c.batch > 1 {
		p.strideA, p.strideB, p.strideC = strideA, strideB, strideC
	}
	switch c.residual {
	case "itself":
		p.residual, p.ldResidual = p.c, ldc
	case "apart":
		before = f.normal(c.m*c.n, c.cDType)
		wide := make([]float32, c.m*(int(ldc)+16))
		for i := range c.m {
			copy(wide[i*(int(ldc)+16):], before[i*c.n:(i+1)*c.n])
		}
		x := f.alloc(len(wide)*c.cDType.Size()).Tensor(c.cDType, 0, int(ldc)+16)
		f.upload(x, wide)
		p.residual, p.ldResidual = int64(x.Buffer), ldc+16
	}
	f.multiply(p)
	for i := range c.batch {
		at, bt := doubles(aValues[i*c.m*c.k:(i+1)*c.m*c.k]), doubles(bValues[i*c.k*c.n:(i+1)*c.k*c.n])
		if c.transposeA {
			at = transposed(at, c.k, c.m)
		}
		want := times(at, bt, c.m, c.n, c.k, c.transposeB)
		for j := range want {
			want[j] = 0.5*want[j] + float64(c.beta)*float64(before[i*c.m*c.n+j])
		}
		tolerance := 5e-5
		if c.cDType == BFloat16 {
			tolerance = 5e-3
		}
		f.check(fmt.Sprintf("product %d", i), y.Row(i*int(strideC/ldc)), c.m, c.n, want, tolerance)
	}
}

// TestProducts multiplies by what products.h offers, each product once with tries of its algorithms and once without.
func TestProducts(t *testing.T) {
	needEmulator(t)
	for _, types := range [][2]DType{{Float32, Float32}, {BFloat16, BFloat16}, {BFloat16, Float32}} {
		for turns := range 4 {
			for _, aligned := range []bool{false, true} {
				f := newFixture(t, 1, types[0])
				f.aligned = aligned
				for _, c := range []productCase{
					{m: 1, n: 5, k: 3, batch: 1},
					{m: 45, n: 70, k: 130, batch: 1},
					{m: 45, n: 70, k: 130, batch: 1, beta: 1},
					{m: 37, n: 65, k: 40, batch: 1, beta: 1, residual: "itself"},
					{m: 46, n: 64, k: 32, batch: 1, beta: 0.25, residual: "apart"},
					{m: 33, n: 48, k: 64, batch: 3},
					{m: 18, n: 20, k: 17, batch: 4, beta: 1},
				} {
					c.transposeA, c.transposeB, c.dtype, c.cDType = turns&1 != 0, turns&2 != 0, types[0], types[1]
					t.Run(fmt.Sprintf("%+v, aligned %v", c, aligned), func(t *testing.T) {
						f.t = t
						c.run(f)
						asked := f.heuristics()
						c.run(f)
						if f.heuristics() != asked {
							t.Error("its algorithm was chosen twice")
						}
					})
				}
			}
		}
	}
}

// Products of one class share an algorithm, which does not fit every number of rows. The heuristic is asked once for each that it
// does not fit, and not again.
func TestRefusedAlgorithms(t *testing.T) {
	needEmulator(t)
	f := newFixture(t, 1, Float32)
	var asked []int64
	for range 2 {
		before := f.heuristics()
		for _, n := range []int{48, 64, 80, 96} {
			for m := 17; m <= 60; m++ {
				productCase{m: m, n: n, k: 40, batch: 1, dtype: Float32, cDType: Float32}.run(f)
			}
		}
		asked = append(asked, f.heuristics()-before)
	}
	if asked[0] < 8 || asked[1] != 0 {
		t.Errorf("asked %d times, and then %d", asked[0], asked[1])
	}
}

// Contexts that time algorithms for themselves give other bits, those that share a file of algorithms the same: the timing is
// random here. The file of an earlier version, without batches, is still read.
func TestAlgorithmsAreShared(t *testing.T) {
	needEmulator(t)
	t.Setenv("SO8T_EMULATED_TIMES", "1")
	results := func(algorithms string) map[string]bool {
		t.Helper()
		different := map[string]bool{}
		for range 8 {
			d, err := Open(Options{Device: tested, Algorithms: algorithms})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			f := newFixture(t, 1, Float32)
			f.d = d
			productCase{m: 40, n: 64, k: 300, batch: 1, dtype: Float32, cDType: Float32}.run(f)
			productCase{m: 40, n: 64, k: 300, batch: 3, dtype: Float32, cDType: Float32}.run(f)
			different[f.out.String()] = true
		}
		return different
	}
	if n := len(results("")); n < 2 {
		t.Error("without a file all contexts give the same bits: the test shows nothing")
	}
	path := filepath.Join(t.TempDir(), "algorithms")
	if n := len(results(path)); n != 1 {
		t.Errorf("with one file of algorithms contexts give %d different results", n)
	}
	text, err := os.ReadFile(path)
	const key = " | 128 x 64 x 300 NN float32 float32 lda 305 ldb 69 ldc 69 69 align 16 16 16 16 | "
	if err != nil || strings.Count(string(text), " | ") != 8 || strings.Count(string(text), key) != 1 {
		t.Errorf("the file holds %q, %v, and not %q", text, err, key)
	}
}
