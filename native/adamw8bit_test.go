package native

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"so8t/engine/safetensors"
)

// oracleFile opens AdamW's results in bitsandbytes and torch.
func oracleFile(t *testing.T) *safetensors.File {
	t.Helper()
	root := os.Getenv("SO8T_ORACLE")
	if root == "" {
		root = "../testdata/oracle"
	}
	f, err := safetensors.Open(root + "/optimizer/adamw8bit.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func name(format string, step int) string { return fmt.Sprintf(format, step) }

func oracleBytes(t *testing.T, name string) []byte {
	t.Helper()
	x, ok := oracleFile(t).Tensor(name)
	if !ok {
		t.Fatalf("tensor %q is missing", name)
	}
	return x.Data
}

func oracleOptimizer(t *testing.T) func(name string) []float32 {
	t.Helper()
	f := oracleFile(t)
	return func(name string) []float32 {
		x, ok := f.Tensor(name)
		if !ok {
			t.Fatalf("tensor %q is missing", name)
		}
		out := make([]float32, len(x.Data)/4)
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(x.Data[4*i:]))
		}
		return out
	}
}

func TestOracleDynamicMap(t *testing.T) {
	oracle := oracleOptimizer(t)
	for name, signed := range map[string]bool{"map_signed": true, "map_unsigned": false} {
		want, got := oracle(name), DynamicMap(signed)
		if len(got) != len(want) {
			t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
		}
		for i := range want {
			if d := math.Abs(float64(got[i]) - float64(want[i])); d > 1e-7*math.Abs(float64(want[i])) {
				t.Errorf("%s[%d] = %v, bitsandbytes has %v", name, i, got[i], want[i])
			}
		}
	}
}

// TestAdamW8bitSeeds holds 8-bit states and their absmax, to the bit, against bitsandbytes' after each of 20 steps of 32 seeds.
func TestAdamW8bitSeeds(t *testing.T) {
	text, err := os.ReadFile("../testdata/oracle/optimizer/adamw8bit_seeds.json")
	if err != nil {
		t.Fatal(err)
	}
	var want [32][20]string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	const n, blocks = 4352 + 48, 18
	f := newFixture(t, 2, Float32)
	signed, unsigned := f.vector(DynamicMap(true)), f.vector(DynamicMap(false))
	for seed, steps := range want {
		p := AdamW{N: n, Param: f.vector(make([]float32, n)), M: f.alloc(n).Tensor(UInt8, 0, n), V: f.alloc(n).Tensor(UInt8, 0, n),
			MAbsmax: f.vector(make([]float32, blocks)), VAbsmax: f.vector(make([]float32, blocks)),
			MCode: signed, VCode: unsigned, LearningRate: 1e-2, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.01}
		for i, want := range steps {
			p.Step, p.Gradient = int64(i+1), f.vector(seededGradient(seed*len(steps)+i, n))
			f.d.AdamW(&p)
			if got := digestOfStates(f, &p, n, blocks); got != want {
				t.Errorf("seed %d: states differ from step %d on: %s, want %s", seed, i+1, got, want)
				break
			}
		}
	}
	f.done()
}

// seededGradient is gradient() of testdata/oracle/make_optimizer_seeds.py: SplitMix64 of a counter, the difference of its
// halves, over 14 powers of two.
func seededGradient(step, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		z := uint64(step*n+i) * 0x9E3779B97F4A7C15
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		z ^= z >> 31
		x[i] = float32(math.Ldexp(float64(float32(int64(uint32(z))-int64(z>>32))), i*14/n-42))
	}
	return x
}

func digestOfStates(f *fixture, p *AdamW, n, blocks int) string {
	f.t.Helper()
	h := sha256.New()
	for _, x := range []Tensor{p.M, p.V} {
		states := make([]byte, n)
		if err := Download(f.d, states, x); err != nil {
			f.t.Fatal(err)
		}
		h.Write(states)
	}
	for _, x := range []Tensor{p.MAbsmax, p.VAbsmax} {
		binary.Write(h, binary.LittleEndian, f.read(x, 1, blocks))
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
