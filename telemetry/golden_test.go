package telemetry

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"so8t/native"
	"so8t/native/nvml"
)

func of[T any](x T) *T { return &x }

// pointAt is a point whose figures follow from a number.
func pointAt(n int) Point {
	at := time.Date(2026, 11, 25, 2, 0, 0, 123456789, time.UTC)
	return Point{At: at.Add(time.Duration(n) * time.Second), Step: n, TokensPerSecond: 600 + float64(n)/7, SamplesPerSecond: 1.25 * float64(n),
		RSSBytes: int64(n) << 20, PeakRSSBytes: int64(100-n) << 20, DeviceBytes: int64(n) << 10, Goroutines: 56 + n}
}

func sampleAt(n int) nvml.Sample {
	f := float64(n)
	return nvml.Sample{MemoryUsedBytes: of(uint64(5+n%3) << 30), MemoryTotalBytes: of[uint64](80 << 30), UtilizationPercent: of(90 + f), MemoryUtilizationPercent: of(40.5),
		PowerWatts: of(500 + f/10), SMClockMHz: of(1980 - f), MemoryClockMHz: of(2619.0), TemperatureCelsius: of(50 + f)}
}

// The files in testdata were written before this package existed: their format is what users' scripts read.
func TestFormatIsTheFormerOne(t *testing.T) {
	cpu := func(r *Report) {
		r.Summary.Device, r.Summary.ISA = "AMD EPYC", "avx512_bf16"
		r.Summary.Memory = MemoryUses([]native.Use{{Purpose: "base weights", Held: 7, Peak: 9}, {Purpose: "activations", Held: 0, Peak: 3}})
		for _, step := range []int{1, 2, 4} {
			r.add(pointAt(step))
		}
	}
	gpu := func(r *Report) {
		r.Summary.Device, r.Summary.ISA = "NVIDIA H100 80GB HBM3", "sm_90"
		r.Summary.Memory = MemoryUses([]native.Use{{Purpose: "base weights", Held: 7 << 30, Peak: 9 << 30}})
		for _, step := range []int{1, 2, 3, 4, 6} {
			p := pointAt(step)
			p.GPUFigures = GPUFigures(sampleAt(step))
			if step == 4 { // the driver reports memory only
				p.GPUFigures = GPUFigures{MemoryUsedBytes: of[uint64](3 << 30), MemoryTotalBytes: of[uint64](80 << 30)}
			}
			r.add(p)
		}
	}
	for name, fill := range map[string]func(*Report){"performance_report_cpu.json": cpu, "performance_report_gpu.json": gpu} {
		path := filepath.Join(t.TempDir(), name)
		r := OpenReport(path, 0, 2)
		fill(r)
		want := read(t, filepath.Join("testdata", name))
		if got := written(t, r); got != want {
			t.Errorf("%s is now\n%s", name, got)
		}
		if again := written(t, OpenReport(path, 6, 2)); again != want {
			t.Errorf("%s, read and written again:\n%s", name, again)
		}
	}
}

// A report of 23,000 steps in three attempts, each of which repeats some of the steps before, is thinned as it was
// before this package existed.
func TestLongReportIsTheFormerOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "long.json")
	var text string
	for _, attempt := range [][2]int{{0, 4800}, {4400, 9000}, {8800, 23000}} {
		r := OpenReport(path, attempt[0], 5)
		for step := attempt[0] + 1; step <= attempt[1]; step++ {
			if step == 1 || step%5 == 0 {
				p := pointAt(step % 90)
				p.Step, p.GPUFigures = step, GPUFigures(sampleAt(step%50))
				r.add(p)
			}
		}
		text = written(t, r)
	}
	const want = "8141f0f87f4e37ca3fde15fc8528312733a4e67f1e91e24c20df283f5569462c"
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(text))); got != want {
		t.Errorf("SHA-256 %s, want %s; %d bytes", got, want, len(text))
	}
}

func written(t *testing.T, r *Report) string {
	t.Helper()
	if err := r.Write(); err != nil {
		t.Fatal(err)
	}
	return read(t, r.path)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
