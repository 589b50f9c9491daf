package native

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"so8t/device"
)

func needEmulator(t *testing.T) {
	t.Helper()
	if tested.Kind != device.Emulated {
		t.Skip("with SO8T_DEVICE=cuda_emulated")
	}
}

// architectures are those whose limits the emulator knows.
var architectures = []string{"sm_80", "sm_86", "sm_89", "sm_90", "sm_120"}

// The widest gradient through LoRA, of ranks 64 for q, k and v, runs on each card: its shared memory fits the smallest.
func TestLaunchesFitEachCard(t *testing.T) {
	needEmulator(t)
	for _, name := range architectures {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SO8T_EMULATED_ARCH", name)
			f := newFixture(t, 1, BFloat16)
			f.aligned = true
			info, err := f.d.Info()
			if err != nil || info.ISA != name {
				t.Errorf("the card is %s, %v", info.ISA, err)
			}
			linearBackward(f, linearShape{rows: 20, in: 64, out: 192, weight: Int8, rank: 64, slices: [][2]int{{0, 64}, {64, 64}, {128, 64}}})
			f.done()
		})
	}
}

// Each different launch is noted once, with the kernel's template arguments.
func TestLaunchesAreNoted(t *testing.T) {
	needEmulator(t)
	path := filepath.Join(t.TempDir(), "launches")
	t.Setenv("SO8T_EMULATED_LAUNCHES", path)
	f := newFixture(t, 1, BFloat16)
	for range 2 {
		x, y := f.normal(8*48, Float32), f.empty(8, 48, BFloat16)
		f.d.Cast(&Cast{Rows: 8, Columns: 48, X: f.matrix(x, 48, Float32), Y: y})
	}
	f.done()
	text, err := os.ReadFile(path)
	line := regexp.MustCompile(`^so8t::cuda::\S*cast_kernel<float, so8t::bf16, \d+>\t\d+\t0\n$`)
	if err != nil || strings.Count(string(text), "cast_kernel") != 1 || !line.Match(text) {
		t.Errorf("noted: %q, %v", text, err)
	}
}
