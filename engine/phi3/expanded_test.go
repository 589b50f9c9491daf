package phi3

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"so8t/device"
	"so8t/native"
)

// TestExpandedIsTheBase: where products would expand an int8 weight, the same numbers stand already, with room for the adapter.
func TestExpandedIsTheBase(t *testing.T) {
	root := os.Getenv("SO8T_ORACLE")
	if root == "" {
		root = "../../testdata/oracle"
	}
	for _, float32Compute := range []bool{false, true} {
		d, err := native.Open(native.Options{Device: device.MustParse(os.Getenv("SO8T_DEVICE"))})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		m, err := New(filepath.Join(root, "phi3", "gqa"), Options{Float32: float32Compute, Int8: true, MaxTokens: 8, MaxLength: 8})
		if err != nil {
			t.Fatal(err)
		}
		qkv, down := &m.Layers[0].QKV, &m.Layers[1].Down
		qkv.LoRA = &LoRA{Rank: 3, Slices: []Slice{{Projection: qkv.Projections[0]}, {Projection: qkv.Projections[2]}}}
		down.LoRA = &LoRA{Rank: 3, Slices: []Slice{{Projection: down.Projections[0]}}}
		m.KeepExpanded(true)
		if err := m.Load(context.Background(), d); err != nil {
			t.Fatal(err)
		}
		for i := range m.Layers {
			for _, l := range m.Layers[i].Linears() {
				if wrong := wrongNumbers(t, d, l); wrong > 0 {
					t.Errorf("float32 %v, layer %d %s: %d numbers are wrong", float32Compute, i, l.Name, wrong)
				}
			}
		}
	}
}

// wrongNumbers counts where an expanded weight is not q · absmax / 127, or 0 beside it.
func wrongNumbers(t *testing.T, d *native.Device, l *Linear) (wrong int) {
	t.Helper()
	q, absmax := make([]int8, l.In*l.Out), make([]float32, l.Out)
	rows, stride := l.Out+l.columns(), int(l.expanded.Stride)
	whole, narrow := make([]float32, rows*stride), make([]uint16, rows*stride)
	err := native.Download(d, q, l.w)
	if err == nil {
		err = native.Download(d, absmax, l.absmax)
	}
	if err == nil && l.expanded.DType == native.Float32 {
		err = native.Download(d, whole, l.expanded)
	} else if err == nil {
		err = native.Download(d, narrow, l.expanded)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		row, column, want := i/stride, i%stride, float32(0)
		if row < l.Out && column < l.In {
			want = float32(q[row*l.In+column]) * (absmax[row] / 127)
		}
		if l.expanded.DType == native.BFloat16 { // to nearest, ties to even
			whole[i] = math.Float32frombits(uint32(narrow[i]) << 16)
			bits := math.Float32bits(want)
			want = math.Float32frombits((bits + 0x7fff + bits>>16&1) &^ 0xffff)
		}
		if whole[i] != want {
			wrong++
		}
	}
	return wrong
}
