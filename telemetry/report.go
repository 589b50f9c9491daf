package telemetry

import (
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"time"

	"so8t/disk"
	"so8t/native"
	"so8t/version"
)

// Report is performance_report.json: speed and memory over time, and a summary. A later attempt
// continues the file of an earlier one and replaces the points of steps it repeats. A long run
// keeps at most about a thousand points, evenly spaced.
type Report struct {
	path  string
	every int

	Summary Summary `json:"summary"`
	Points  []Point `json:"points"`
}

// Point is one measurement, taken after a step.
type Point struct {
	At               time.Time `json:"at"`
	Step             int       `json:"step"`
	TokensPerSecond  float64   `json:"tokens_per_second"`
	SamplesPerSecond float64   `json:"samples_per_second"`
	RSSBytes         int64     `json:"rss_bytes"`
	PeakRSSBytes     int64     `json:"peak_rss_bytes"`
	DeviceBytes      int64     `json:"device_peak_bytes"` // peak of what the native library allocated
	Goroutines       int       `json:"goroutines"`        // of the worker process
	GPUFigures                 // since the previous point; empty on the CPU
}

// Summary covers the whole run, including points that were dropped.
type Summary struct {
	Version             version.Version `json:"version,omitzero"` // of the latest attempt
	Steps               int             `json:"steps"`
	MeanTokensPerSecond float64         `json:"mean_tokens_per_second"`
	MeanSamplesPerSec   float64         `json:"mean_samples_per_second"`
	PeakRSSBytes        int64           `json:"peak_rss_bytes"`
	PeakDeviceBytes     int64           `json:"peak_device_bytes"`

	Device string      `json:"device,omitempty"` // model of the CPU or GPU
	ISA    string      `json:"isa,omitempty"`    // instruction sets in use
	Memory []MemoryUse `json:"device_memory,omitempty"`
	// What the plan of memory decided where the configuration says auto.
	Saved    string `json:"gradient_checkpointing_keep,omitempty"` // all, attention or inputs
	Expanded bool   `json:"keep_expanded,omitempty"`
	GPUSummary
}

// GPUSummary is empty for a run on the CPU.
type GPUSummary struct {
	PeakMemory      *uint64  `json:"peak_gpu_memory_used_bytes,omitempty"` // all processes and the driver
	MeanUtilization *float64 `json:"mean_gpu_utilization_percent,omitempty"`
	MeanPower       *float64 `json:"mean_gpu_power_watts,omitempty"`
	MeanSMClock     *float64 `json:"mean_gpu_sm_clock_mhz,omitempty"`
}

// MemoryUse is the device memory allocated for one purpose: a native.Use.
type MemoryUse struct {
	Purpose string `json:"purpose"`
	Held    uint64 `json:"held_bytes"`
	Peak    uint64 `json:"peak_bytes"`
}

// MemoryUses gives a device's allocations the report's format.
func MemoryUses(uses []native.Use) []MemoryUse {
	var list []MemoryUse
	for _, u := range uses {
		list = append(list, MemoryUse(u))
	}
	return list
}

// Device describes where a model computes; *engine.Model implements it.
type Device interface {
	Info() (native.Info, error)
	Memory() ([]native.Use, error)
	Saved() string  // of a layer, for the backward pass
	Expanded() bool // the int8 weights are held in the compute type as well
}

const maxPoints = 1000

// OpenReport reads the points that earlier attempts measured up to a step. The caller adds a
// point every `every` steps. A damaged file is started over, since no decision depends on it.
func OpenReport(path string, step, every int) *Report {
	r := &Report{}
	if err := disk.ReadJSON(path, r); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r = &Report{}
	}
	r.path, r.every = path, every
	r.Points = slices.DeleteFunc(r.Points, func(p Point) bool { return p.Step > step })
	return r
}

// Add appends a point for the step that was just done.
func (r *Report) Add(d Device, g *GPU, p *Pace, step int) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	uses, err := d.Memory()
	if err != nil {
		return err
	}
	r.Summary.Version = version.Current()
	r.Summary.Device, r.Summary.ISA, r.Summary.Memory = info.Name, info.ISA, MemoryUses(uses)
	r.Summary.Saved, r.Summary.Expanded = d.Saved(), d.Expanded()
	rss, peak := RSS()
	r.add(Point{At: time.Now().UTC(), Step: step, TokensPerSecond: p.TokensPerSecond(), SamplesPerSecond: p.SamplesPerSecond(),
		RSSBytes: rss, PeakRSSBytes: peak, DeviceBytes: int64(info.PeakBytes), Goroutines: runtime.NumGoroutine(), GPUFigures: g.Mean()})
	return nil
}

// add also drops points of a long run, since the whole file is written with every checkpoint.
func (r *Report) add(p Point) {
	r.Points = append(r.Points, p)
	r.Summary.PeakMemory = larger(r.Summary.PeakMemory, p.MemoryUsedBytes)
	spacing := r.every
	for p.Step/spacing > maxPoints {
		spacing *= 2 // a function of the step alone, so that a resumed run keeps the same points
	}
	r.Points = slices.DeleteFunc(r.Points, func(p Point) bool { return p.Step%spacing != 0 && p.Step != 1 })
}

// Write updates the summary and replaces the file.
func (r *Report) Write() error {
	last := r.Summary
	s := Summary{PeakRSSBytes: last.PeakRSSBytes, PeakDeviceBytes: last.PeakDeviceBytes, // those of dropped points, too
		Version: last.Version, Device: last.Device, ISA: last.ISA, Memory: last.Memory,
		Saved: last.Saved, Expanded: last.Expanded}
	var gpu averages
	for _, p := range r.Points {
		s.Steps = max(s.Steps, p.Step)
		s.MeanTokensPerSecond += p.TokensPerSecond / float64(len(r.Points))
		s.MeanSamplesPerSec += p.SamplesPerSecond / float64(len(r.Points))
		s.PeakRSSBytes = max(s.PeakRSSBytes, p.PeakRSSBytes)
		s.PeakDeviceBytes = max(s.PeakDeviceBytes, p.DeviceBytes)
		gpu.add(p.GPUFigures)
	}
	s.PeakMemory = larger(last.PeakMemory, gpu.memory)
	s.MeanUtilization, s.MeanPower, s.MeanSMClock = gpu.load.value(), gpu.power.value(), gpu.sm.value()
	r.Summary = s
	return disk.ReplaceJSON(r.path, r)
}
