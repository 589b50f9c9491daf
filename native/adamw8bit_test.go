package native

import (
	"encoding/binary"
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
