package activities

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"so8t/disk"
	"so8t/engine"
	"so8t/native"
	"so8t/native/nvml"
)

const reportName = "performance_report.json"

// report is performance_report.json: speed and memory over time, and a summary. It is
// carried on over restarts; points of steps that are done again are replaced. Of a long run
// it keeps about a thousand points, evenly.
type report struct {
	path  string
	every int // training.logging_steps: steps between two points

	Summary reportSummary `json:"summary"`
	Points  []reportPoint `json:"points"`
}

type reportPoint struct {
	At               time.Time `json:"at"`
	Step             int       `json:"step"`
	TokensPerSecond  float64   `json:"tokens_per_second"`
	SamplesPerSecond float64   `json:"samples_per_second"`
	RSSBytes         int64     `json:"rss_bytes"`
	PeakRSSBytes     int64     `json:"peak_rss_bytes"`
	DeviceBytes      int64     `json:"device_peak_bytes"` // the most that the native library held
	Goroutines       int       `json:"goroutines"`        // of the worker's process
	nvml.Sample                // of the time since the point before; of a run on the CPU, nothing
}

type reportSummary struct {
	Steps               int     `json:"steps"`
	MeanTokensPerSecond float64 `json:"mean_tokens_per_second"`
	MeanSamplesPerSec   float64 `json:"mean_samples_per_second"`
	PeakRSSBytes        int64   `json:"peak_rss_bytes"`
	PeakDeviceBytes     int64   `json:"peak_device_bytes"`

	Device string       `json:"device,omitempty"` // CPU or GPU model
	ISA    string       `json:"isa,omitempty"`    // its instruction sets in use
	Memory []native.Use `json:"device_memory,omitempty"`
	gpuSummary
}

// gpuSummary is absent of a run on the CPU.
type gpuSummary struct {
	PeakMemory      *uint64  `json:"peak_gpu_memory_used_bytes,omitempty"` // by all processes, and by the driver
	MeanUtilization *float64 `json:"mean_gpu_utilization_percent,omitempty"`
	MeanPower       *float64 `json:"mean_gpu_power_watts,omitempty"`
	MeanSMClock     *float64 `json:"mean_gpu_sm_clock_mhz,omitempty"`
}

const maxReportPoints = 1000

// openReport reads what earlier attempts measured up to a step. A damaged report is begun
// anew: it decides nothing.
func openReport(path string, step, every int) *report {
	r := &report{}
	if err := disk.ReadJSON(path, r); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r = &report{}
	}
	r.path, r.every = path, every
	kept := r.Points[:0]
	for _, p := range r.Points {
		if p.Step <= step {
			kept = append(kept, p)
		}
	}
	r.Points = kept
	return r
}

func (r *report) add(m *engine.Model, g *gpu, step engine.StepResult, pace *pace) error {
	info, err := m.Info()
	if err != nil {
		return err
	}
	if r.Summary.Memory, err = m.Memory(); err != nil {
		return err
	}
	r.Summary.Device, r.Summary.ISA = info.Name, info.ISA
	rss, peak := residentBytes()
	r.Points = append(r.Points, reportPoint{At: time.Now().UTC(), Step: step.Position.Step,
		TokensPerSecond: pace.tokensPerSecond(), SamplesPerSecond: pace.samplesPerSecond(),
		RSSBytes: rss, PeakRSSBytes: peak, DeviceBytes: int64(info.PeakBytes), Goroutines: runtime.NumGoroutine(), Sample: g.point()})
	r.Summary.PeakMemory = most(r.Summary.PeakMemory, r.Points[len(r.Points)-1].MemoryUsedBytes)
	r.thin()
	return nil
}

// thin drops points of a long run: the file is written with every checkpoint.
func (r *report) thin() {
	every := r.every * engine.Every(r.Points[len(r.Points)-1].Step/r.every, maxReportPoints)
	r.Points = slices.DeleteFunc(r.Points, func(p reportPoint) bool { return p.Step%every != 0 && p.Step != 1 })
}

func (r *report) write() error {
	last := r.Summary
	s := reportSummary{PeakRSSBytes: last.PeakRSSBytes, PeakDeviceBytes: last.PeakDeviceBytes, // of dropped points, too
		Device: last.Device, ISA: last.ISA, Memory: last.Memory}
	s.PeakMemory = last.PeakMemory
	var load averages
	for _, p := range r.Points {
		s.Steps = max(s.Steps, p.Step)
		s.MeanTokensPerSecond += p.TokensPerSecond / float64(len(r.Points))
		s.MeanSamplesPerSec += p.SamplesPerSecond / float64(len(r.Points))
		s.PeakRSSBytes = max(s.PeakRSSBytes, p.PeakRSSBytes)
		s.PeakDeviceBytes = max(s.PeakDeviceBytes, p.DeviceBytes)
		load.add(p.Sample)
	}
	s.PeakMemory = most(s.PeakMemory, load.memory)
	s.MeanUtilization, s.MeanPower, s.MeanSMClock = load.load.value(), load.power.value(), load.sm.value()
	r.Summary = s
	return disk.ReplaceJSON(r.path, r)
}

// residentBytes is this process's memory now and at its most, as Linux counts it.
func residentBytes() (now, peak int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kilobytes << 10
		case "VmHWM":
			peak = kilobytes << 10
		}
	}
	return now, peak
}

// pace averages over the last steps.
type pace struct{ window []engine.StepResult }

const paceSteps = 20

func (p *pace) add(s engine.StepResult) {
	p.window = append(p.window, s)
	if len(p.window) > paceSteps {
		p.window = p.window[1:]
	}
}

func (p *pace) sums() (tokens, samples int, seconds float64) {
	for _, s := range p.window {
		tokens, samples, seconds = tokens+s.Tokens, samples+s.Samples, seconds+s.Duration.Seconds()
	}
	return tokens, samples, max(seconds, 1e-9)
}

func (p *pace) tokensPerSecond() float64 {
	tokens, _, seconds := p.sums()
	return float64(tokens) / seconds
}

func (p *pace) samplesPerSecond() float64 {
	_, samples, seconds := p.sums()
	return float64(samples) / seconds
}

func (p *pace) secondsPerStep() float64 {
	_, _, seconds := p.sums()
	return seconds / float64(max(len(p.window), 1))
}
