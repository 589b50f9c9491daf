package native

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"so8t/device"
	"so8t/native/nativetest"
)

// fixture is one run of a case: a device, reproducible random numbers, and the results.
type fixture struct {
	t       *testing.T
	d       *Device
	r       *rand.Rand
	compute DType
	aligned bool         // rows of matrices begin on 16-byte boundaries, as the engine's do
	out     bytes.Buffer // every checked result, to compare runs bit for bit
}

// stride leaves a gap between a matrix's columns and its next row, so that a kernel that ignores strides fails.
func (f *fixture) stride(columns int) int {
	if f.aligned {
		return (columns+15)/16*16 + 16
	}
	return columns + 5
}

// tested is what the tests of this package run on.
var tested = device.MustParse(cmp.Or(os.Getenv("SO8T_DEVICE"), "cpu"))

func TestMain(m *testing.M) { nativetest.Main(m) }

func openDevice(t testing.TB, threads int) *Device {
	t.Helper()
	d, err := Open(Options{Device: tested, Threads: threads, Algorithms: nativetest.Algorithms()})
	if err != nil {
		t.Fatalf("%v (the Makefile builds the library: make build)", err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func newFixture(t *testing.T, threads int, compute DType) *fixture {
	return &fixture{t: t, d: openDevice(t, threads), r: rand.New(rand.NewPCG(1, 2)), compute: compute}
}

func toBF16(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

func fromBF16(x uint16) float32 { return math.Float32frombits(uint32(x) << 16) }

// normal returns n random values that the dtype represents exactly.
func (f *fixture) normal(n int, dtype DType) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(f.r.NormFloat64())
		if dtype == BFloat16 {
			x[i] = fromBF16(toBF16(x[i]))
		}
	}
	return x
}

func (f *fixture) alloc(bytes int) Buffer {
	f.t.Helper()
	b, err := f.d.Alloc(int64(bytes), "test")
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// matrix uploads rows of values with a gap of garbage behind each.
func (f *fixture) matrix(values []float32, columns int, dtype DType) Tensor {
	f.t.Helper()
	rows, stride := len(values)/columns, f.stride(columns)
	wide := make([]float32, rows*stride)
	for i := range rows {
		copy(wide[i*stride:], values[i*columns:(i+1)*columns])
		for j := columns; j < stride; j++ {
			wide[i*stride+j] = 1e30
		}
	}
	x := f.alloc(len(wide)*dtype.Size()).Tensor(dtype, 0, stride)
	f.upload(x, wide)
	return x
}

// pair uploads two matrices with the same number of rows: if aligned, the second follows the first in the same rows, as an
// adapter's z does in the engine; else apart.
func (f *fixture) pair(x []float32, n int, z []float32, m int, dtype DType) (Tensor, Tensor) {
	if !f.aligned {
		return f.matrix(x, n, dtype), f.matrix(z, m, dtype)
	}
	var both []float32
	for i := range len(x) / n {
		both = append(append(both, x[i*n:(i+1)*n]...), z[i*m:(i+1)*m]...)
	}
	t := f.matrix(both, n+m, dtype)
	return t, t.Column(n)
}

// vector uploads values without gaps.
func (f *fixture) vector(values []float32) Tensor {
	x := f.alloc(4*len(values)).Tensor(Float32, 0, len(values))
	f.upload(x, values)
	return x
}

func (f *fixture) upload(x Tensor, values []float32) {
	f.t.Helper()
	var err error
	if x.DType == BFloat16 {
		half := make([]uint16, len(values))
		for i, v := range values {
			half[i] = toBF16(v)
		}
		err = Upload(f.d, x, half)
	} else {
		err = Upload(f.d, x, values)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) ints(values ...int32) Tensor {
	f.t.Helper()
	x := f.alloc(4*len(values)).Tensor(Int32, 0, len(values))
	if err := Upload(f.d, x, values); err != nil {
		f.t.Fatal(err)
	}
	return x
}

// empty is a matrix of garbage to be overwritten.
func (f *fixture) empty(rows, columns int, dtype DType) Tensor {
	garbage := make([]float32, rows*columns)
	for i := range garbage {
		garbage[i] = 12345
	}
	return f.matrix(garbage, columns, dtype)
}

func (f *fixture) read(x Tensor, rows, columns int) []float32 {
	f.t.Helper()
	stride := int(x.Stride)
	if rows == 1 {
		stride = columns
	}
	n := (rows-1)*stride + columns
	wide := make([]float32, n)
	var err error
	switch x.DType {
	case BFloat16:
		half := make([]uint16, n)
		err = Download(f.d, half, x)
		for i, v := range half {
			wide[i] = fromBF16(v)
		}
	case Int32:
		whole := make([]int32, n)
		err = Download(f.d, whole, x)
		for i, v := range whole {
			wide[i] = float32(v)
		}
	default:
		err = Download(f.d, wide, x)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	values := make([]float32, 0, rows*columns)
	for i := range rows {
		values = append(values, wide[i*stride:i*stride+columns]...)
	}
	return values
}

// check compares a result with its float64 reference, relative to the largest value: 0 tolerance means the usual one.
func (f *fixture) check(name string, x Tensor, rows, columns int, want []float64, tolerance float64) {
	f.t.Helper()
	got := f.read(x, rows, columns)
	binary.Write(&f.out, binary.LittleEndian, got)
	if tolerance == 0 {
		tolerance = 5e-5 // sums of up to some thousand float32 products
		if f.compute == BFloat16 {
			tolerance = 2e-2 // 8-bit significand of inputs of a sum, its probabilities or weights, and of the result
		}
	}
	largest, worst, at := 0.0, 0.0, 0
	for i, w := range want {
		largest = max(largest, math.Abs(w))
		if d := math.Abs(float64(got[i]) - w); d > worst || d != d {
			worst, at = d, i
			if d != d {
				break
			}
		}
	}
	if !(worst <= tolerance*largest+1e-30) {
		f.t.Errorf("%s[%d, %d] = %v, want %v (largest %v)", name, at/columns, at%columns, got[at], want[at], largest)
	}
}

func (f *fixture) done() {
	f.t.Helper()
	if err := f.d.Synchronize(); err != nil {
		f.t.Fatal(err)
	}
}

// doubles widens to float64, in which references are computed.
func doubles(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// times is a[m, k] b[k, n], or with b [n, k] where turned.
func times(a, b []float64, m, n, k int, turned bool) []float64 {
	c := make([]float64, m*n)
	for i := range m {
		for j := range n {
			s := 0.0
			for l := range k {
				if turned {
					s += a[i*k+l] * b[j*k+l]
				} else {
					s += a[i*k+l] * b[l*n+j]
				}
			}
			c[i*n+j] = s
		}
	}
	return c
}

func transposed(a []float64, rows, columns int) []float64 {
	b := make([]float64, len(a))
	for i := range rows {
		for j := range columns {
			b[j*rows+i] = a[i*columns+j]
		}
	}
	return b
}

// A testCase runs one operation (or a forward and backward pair) and checks it.
type testCase struct {
	name string
	run  func(*fixture)
}

func cases() []testCase {
	var all []testCase
	for _, group := range [][]testCase{dataCases(), linearCases(), layerCases(), attentionCases(), trainingCases()} {
		all = append(all, group...)
	}
	return all
}

var computeTypes = []DType{Float32, BFloat16}

// Every operation against its float64 reference, and bit for bit the same on 1, 2 and 3 threads; a GPU has none and must
// give the same bits each time.
func TestOperations(t *testing.T) {
	layouts := []bool{false}
	if tested.Kind != device.CPU {
		layouts = append(layouts, true) // where aligned rows take other paths
	}
	for _, c := range cases() {
		for _, compute := range computeTypes {
			for _, aligned := range layouts {
				t.Run(fmt.Sprintf("%s/%v/aligned=%v", c.name, compute, aligned), func(t *testing.T) { c.repeat(t, compute, aligned) })
			}
		}
	}
}

func (c testCase) repeat(t *testing.T, compute DType, aligned bool) {
	var first []byte
	most := 3
	if os.Getenv("SO8T_NATIVE_TEST_CHILD") != "" {
		most = 1 // TestInstructionSets compares numbers only
	} else if tested.Kind != device.CPU {
		most = 2
	}
	for threads := 1; threads <= most; threads++ {
		f := newFixture(t, threads, compute)
		f.aligned = aligned
		c.run(f)
		f.done()
		if threads == 1 {
			first = f.out.Bytes()
			if len(first) == 0 {
				t.Fatal("nothing was checked")
			}
		} else if !bytes.Equal(f.out.Bytes(), first) {
			t.Errorf("%d threads give other bits than 1", threads)
		}
	}
}
