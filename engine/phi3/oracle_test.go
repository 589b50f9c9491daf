package phi3

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"so8t/device"
	"so8t/engine/safetensors"
	"so8t/native"
	"so8t/native/nativetest"
)

// TestOracleQuantization: the int8 rows made on loading equal bitsandbytes' int8_vectorwise_quant, every one.
func TestOracleQuantization(t *testing.T) {
	root := os.Getenv("SO8T_ORACLE")
	if root == "" {
		root = "../../testdata/oracle"
	}
	dirs, err := filepath.Glob(filepath.Join(root, "phi3", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no oracle sets below %s: %v", root, err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			want, err := safetensors.Open(filepath.Join(dir, "int8.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer want.Close()
			d, err := native.Open(native.Options{Device: device.MustParse(os.Getenv("SO8T_DEVICE")), Algorithms: nativetest.Algorithms()})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			m, err := New(dir, Options{Float32: true, Int8: true, MaxTokens: 8, MaxLength: 8})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Load(context.Background(), d); err != nil {
				t.Fatal(err)
			}
			for i := range m.Layers {
				for _, l := range m.Layers[i].Linears() {
					q, absmax := make([]int8, l.In*l.Out), make([]float32, l.Out)
					if err := native.Download(d, q, l.w); err != nil {
						t.Fatal(err)
					}
					if err := native.Download(d, absmax, l.absmax); err != nil {
						t.Fatal(err)
					}
					name := l.TensorName(i)
					wantQ, _ := want.Tensor(name)
					wantScale, _ := want.Tensor(name[:len(name)-len("weight")] + "absmax")
					for j := range q {
						if int8(wantQ.Data[j]) != q[j] {
							t.Errorf("%s[%d, %d] = %d, bitsandbytes has %d", name, j/l.In, j%l.In, q[j], int8(wantQ.Data[j]))
						}
					}
					if !bytes.Equal(wantScale.Data, unsafe.Slice((*byte)(unsafe.Pointer(&absmax[0])), 4*len(absmax))) {
						t.Errorf("%s: scales differ", name)
					}
				}
			}
		})
	}
}
