package native

import (
	"errors"
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

// While a stream is captured memory cannot be freed: what an operation then no longer needs is freed later.
func TestMemoryFreedInACapture(t *testing.T) {
	needEmulator(t)
	free := func(d *Device) uint64 {
		t.Helper()
		info, err := d.Info()
		if err != nil {
			t.Fatal(err)
		}
		return info.FreeBytes
	}
	watching := openDevice(t, 1)
	before := free(watching)
	t.Setenv("SO8T_EMULATED_FAULT", "capturing")
	f := newFixture(t, 1, Float32)
	linearForward(f, linearShape{rows: 40, in: 96, out: 80, weight: Int8}) // needs two blocks of scratch memory
	f.done()
	t.Setenv("SO8T_EMULATED_FAULT", "")
	if err := f.d.Close(); err != nil {
		t.Fatal(err)
	}
	if after := free(watching); after != before {
		t.Errorf("%d bytes are lost", before-after)
	}
}

// What was refused is reported once: the launches after it, which ask for the last error, are not blamed.
func TestRefusedMemoryIsReportedOnce(t *testing.T) {
	needEmulator(t)
	f := newFixture(t, 1, Float32)
	x := f.matrix(f.normal(64, Float32), 64, Float32)
	for _, alloc := range []func(int64, string) (Buffer, error){f.d.Alloc, f.d.AllocOnHost} {
		if _, err := alloc(1<<60, "too much"); !errors.Is(err, ErrMemory) {
			t.Fatalf("1 EiB: %v", err)
		}
		f.d.Reset()
		f.d.Cast(&Cast{Rows: 1, Columns: 64, X: x, Y: x})
		f.done()
	}
}
