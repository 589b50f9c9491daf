package telemetry

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"so8t/device"
	"so8t/engine"
)

func TestReportForgetsRepeatedSteps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	r := OpenReport(path, 0, 10)
	r.Points = []Point{{Step: 10, TokensPerSecond: 100}, {Step: 20, TokensPerSecond: 300}, {Step: 30, TokensPerSecond: 900}}
	written(t, r)
	r = OpenReport(path, 20, 10)
	written(t, r)
	if len(r.Points) != 2 || r.Summary.Steps != 20 || r.Summary.MeanTokensPerSecond != 200 {
		t.Errorf("%+v", r.Summary)
	}
}

func TestDamagedReportIsStartedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(path, []byte(`{"summary":{"steps":7},"points":[{"step":`), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := OpenReport(path, 20, 10); len(r.Points) != 0 || r.Summary.Steps != 0 {
		t.Errorf("%+v", r)
	}
}

// The report of a long run is bounded, its points are evenly spaced, and its peaks include the
// dropped points.
func TestReportOfALongRunIsThinned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	r := OpenReport(path, 0, 5)
	for step := 1; step <= 40*maxPoints; step++ {
		if step == 1 || step%5 == 0 {
			p := Point{Step: step, PeakRSSBytes: 1}
			if step == 15 {
				p.PeakRSSBytes = 7
			}
			r.add(p)
		}
		if step%1000 == 0 {
			written(t, r)
			r = OpenReport(path, step, 5)
		}
	}
	n := len(r.Points)
	if n > maxPoints+2 || n < maxPoints/2 || r.Points[0].Step != 1 || r.Summary.PeakRSSBytes != 7 {
		t.Errorf("%d points, %+v", n, r.Summary)
	}
	for i := 3; i < n; i++ {
		if r.Points[i].Step-r.Points[i-1].Step != r.Points[3].Step-r.Points[2].Step {
			t.Fatalf("points at steps %d and %d", r.Points[i-1].Step, r.Points[i].Step)
		}
	}
}

// add adds a point after one second of work on ten tokens, and returns the file.
func add(t *testing.T, r *Report, d Device, g *GPU, step int) string {
	t.Helper()
	p := &Pace{}
	p.Add(10, 1, time.Second)
	if err := r.Add(d, g, p, step); err != nil {
		t.Fatal(err)
	}
	return written(t, r)
}

// The memory of a model is accounted for by purpose, to the byte.
func TestReportAccountsForTheDevicesMemory(t *testing.T) {
	m, err := engine.Open(t.Context(), engine.Options{BasePath: "../demo/base", Device: device.Device{Kind: device.CPU}, Int8: true, MaxTokens: 16, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r := OpenReport(filepath.Join(t.TempDir(), "report.json"), 0, 1)
	if text := add(t, r, m, nil, 1); strings.Contains(text, "gpu") {
		t.Errorf("a run on the CPU has figures of a GPU:\n%s", text)
	}
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	var held uint64
	purposes := map[string]bool{}
	for _, u := range r.Summary.Memory {
		held += u.Held
		purposes[u.Purpose] = true
	}
	if held != info.HeldBytes || !purposes["base weights"] || r.Summary.Device != info.Name || r.Summary.ISA != info.ISA {
		t.Errorf("held %d of %d in %v, summary %+v", held, info.HeldBytes, purposes, r.Summary)
	}
	p := r.Points[0]
	if p.TokensPerSecond != 10 || p.SamplesPerSecond != 1 || p.Goroutines < 1 ||
		p.RSSBytes <= 0 || p.PeakRSSBytes < p.RSSBytes || p.DeviceBytes != int64(info.PeakBytes) {
		t.Errorf("point %+v", p)
	}
}

func TestReportOfAGPU(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	r := OpenReport(path, 0, 1)
	g := &GPU{}
	for i, used := range []uint64{5 << 30, 9 << 30, 6 << 30} {
		g.take(reading(used, float64(90+i), 500))
		add(t, r, fakeDevice{}, g, i+1)
	}
	// The step with the peak is repeated, with less memory.
	r = OpenReport(path, 2, 2)
	g.take(reading(5<<30, 94, 500))
	text := add(t, r, fakeDevice{}, g, 2)
	for _, want := range []string{`"peak_gpu_memory_used_bytes": 9663676416`, `"mean_gpu_power_watts": 500`,
		`"gradient_checkpointing_keep": "attention"`, `"keep_expanded": true`, `"gpu_utilization_percent": 94`, `"gpu_temperature_celsius": 59.4`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	// A point that is dropped at once still counts for the peak.
	g.take(reading(11<<30, 94, 500))
	if text := add(t, r, fakeDevice{}, g, 3); !strings.Contains(text, "11811160064") || strings.Contains(text, `"step": 3`) {
		t.Errorf("a peak between two points:\n%s", text)
	}
	if strings.Contains(text, "clock") {
		t.Errorf("clocks that were never reported:\n%s", text)
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
