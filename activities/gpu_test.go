package activities

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/native"
	"so8t/native/nvml"
)

func of[T any](x T) *T { return &x }

// reading is an H100 at work.
func reading(used uint64, load, watts float64) nvml.Sample {
	return nvml.Sample{MemoryUsedBytes: &used, MemoryTotalBytes: of[uint64](80 << 30), UtilizationPercent: &load, PowerWatts: &watts, TemperatureCelsius: of(50 + load/10)}
}

type fakeGPU chan nvml.Sample

func (f fakeGPU) Sample() nvml.Sample { return <-f }

func TestGPUIsSampled(t *testing.T) {
	f := make(fakeGPU, 3)
	f <- reading(5<<30, 100, 600)
	g := newGPU(f, time.Millisecond)
	f <- reading(7<<30, 51, 300)
	f <- reading(6<<30, 80, 300.5)
	for g.news().MemoryUsedBytes != 6<<30 {
		time.Sleep(time.Millisecond)
	}
	if n := g.news(); n.MemoryTotalBytes != 80<<30 || *n.UtilizationPercent != 80 || *n.PowerWatts != 301 {
		t.Errorf("news %+v", n)
	}
	p := g.point()
	if *p.MemoryUsedBytes != 7<<30 || *p.UtilizationPercent != 77 || *p.PowerWatts != 400.2 || *p.TemperatureCelsius != 60 || p.SMClockMHz != nil {
		t.Errorf("point %s", marshal(t, p))
	}
	if p := g.point(); *p.UtilizationPercent != 80 {
		t.Errorf("a point without a sample of its own: %s", marshal(t, p))
	}
	close(f) // whoever samples now gets an empty one
	g.end()
	g.take(nvml.Sample{})
	if n := g.news(); n != nil {
		t.Errorf("a silent driver: %+v", n)
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNoGPUNoFigures(t *testing.T) {
	j := testJob(t)
	for _, info := range []native.Info{{Name: "AMD EPYC", ISA: "avx512_bf16"}, {Name: "no such GPU", ISA: "sm_90"}} {
		if g := j.watchGPU(info); g != nil || g.news() != nil || g.point() != (nvml.Sample{}) {
			t.Errorf("%s: %+v", info.Name, g)
		}
	}
	j.log = slog.New(slog.DiscardHandler)
	j.end()
}

// The report says where the memory went on any device, and of a GPU what it did.
func TestReportOfADevice(t *testing.T) {
	ctx := t.Context()
	m, err := engine.Open(ctx, engine.Options{BasePath: "../demo/base", Device: "cpu", Int8: true, MaxTokens: 16, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	path := filepath.Join(t.TempDir(), reportName)
	step := engine.StepResult{Position: checkpoint.Position{Step: 1}, Tokens: 10, Duration: time.Second}
	write := func(r *report, g *gpu) string {
		t.Helper()
		p := &pace{}
		p.add(step)
		if err := r.add(m, g, step, p); err != nil {
			t.Fatal(err)
		}
		if err := r.write(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	cpu := write(openReport(path, 0, 1), nil)
	if strings.Contains(cpu, "gpu") {
		t.Errorf("a run on the CPU tells of a GPU:\n%s", cpu)
	}
	var read struct {
		Summary struct {
			Device, ISA string
			Memory      []native.Use `json:"device_memory"`
		}
	}
	if err := json.Unmarshal([]byte(cpu), &read); err != nil {
		t.Fatal(err)
	}
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	var held uint64
	purposes := map[string]bool{}
	for _, u := range read.Summary.Memory {
		held += u.Held
		purposes[u.Purpose] = true
	}
	if held != info.HeldBytes || !purposes["base weights"] || read.Summary.Device != info.Name || read.Summary.ISA != info.ISA {
		t.Errorf("held %d of %d in %v, summary %+v", held, info.HeldBytes, purposes, read.Summary)
	}

	r := openReport(path, 0, 1)
	g := &gpu{}
	for i, used := range []uint64{5 << 30, 9 << 30, 6 << 30} {
		g.take(reading(used, float64(90+i), 500))
		step.Position.Step++
		write(r, g)
	}
	// the step with the peak is done again, with less
	r = openReport(path, 2, 2)
	step.Position.Step = 2
	g.take(reading(5<<30, 94, 500))
	text := write(r, g)
	for _, want := range []string{`"peak_gpu_memory_used_bytes": 9663676416`, `"mean_gpu_power_watts": 500`, `"gpu_utilization_percent": 94`, `"gpu_temperature_celsius": 59.4`} {
		if !strings.Contains(strings.ReplaceAll(text, `":`, `": `), want) && !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	step.Position.Step = 3 // between two points: its peak counts all the same
	g.take(reading(11<<30, 94, 500))
	if text := write(r, g); !strings.Contains(text, "11811160064") || strings.Contains(text, `"step": 3`) {
		t.Errorf("a peak between two points:\n%s", text)
	}
	if strings.Contains(text, "clock") {
		t.Errorf("clocks that nobody told:\n%s", text)
	}
}
