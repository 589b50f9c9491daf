package phi3

import (
	"os"
	"testing"

	"so8t/device"
	"so8t/native"
	"so8t/native/nativetest"
)

func TestMain(m *testing.M) { nativetest.Main(m) }

// TestRowsHoldAdapters: z and dz lie directly behind their rows, within them and where a 16-byte load may begin.
func TestRowsHoldAdapters(t *testing.T) {
	d, err := native.Open(native.Options{Device: device.MustParse(os.Getenv("SO8T_DEVICE")), Algorithms: nativetest.Algorithms()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := &Config{VocabSize: 100, HiddenSize: 96, IntermediateSize: 136, NumAttentionHeads: 4, NumKeyValueHeads: 2}
	for _, gates := range []struct{ gated, ungated bool }{{true, false}, {false, true}, {true, true}} {
		m := &Model{Config: c, device: d, compute: native.BFloat16, gated: gates.gated, ungated: gates.ungated, adapterColumns: [4]int{9, 3, 6, 4}}
		var a activations
		if err := allocate(d, "test", func(x *arena) { m.cutAttention(x, &a, 5); m.cutActivations(x, &a, 5, true); m.cutScratch(x, 5, true) }); err != nil {
			t.Fatal(err)
		}
		s := &m.scratch
		for _, x := range []struct {
			name       string
			tensor     native.Tensor
			columns, z int
		}{{"norm1", a.norm1, 96, 9}, {"norm2", a.norm2, 96, 6}, {"hidden", a.hidden, 136, 4},
			{"gateUp", a.gateUp, 272, 6}, {"dx", s.dx, 96, 4}, {"dqkv", s.dqkv, 192, 9}} {
			stride := int64(x.columns+x.z+7) &^ 7
			if x.tensor.Stride != stride || x.tensor.Offset%64 != 0 {
				t.Errorf("%s: stride %d at byte %d, want %d", x.name, x.tensor.Stride, x.tensor.Offset, stride)
			}
		}
		if gates.gated && a.rotated.Stride != 104 {
			t.Errorf("gates %+v: rotated has rows of %d", gates, a.rotated.Stride)
		}
		wide := a.attention.Stride > 96
		if wide != gates.ungated { // what is rotated first has z behind its rotated form
			t.Errorf("gates %+v: attention has rows of %d", gates, a.attention.Stride)
		}
	}
}
