package telemetry

import (
	"math"
	"sync"
	"time"

	"so8t/native/nvml"
)

// GPUFigures describe a GPU at one moment or over a period. What the driver does not report is nil.
type GPUFigures struct {
	MemoryUsedBytes          *uint64  `json:"gpu_memory_used_bytes,omitempty"` // all processes and the driver
	MemoryTotalBytes         *uint64  `json:"gpu_memory_total_bytes,omitempty"`
	UtilizationPercent       *float64 `json:"gpu_utilization_percent,omitempty"`        // of the time, with any kernel running
	MemoryUtilizationPercent *float64 `json:"gpu_memory_utilization_percent,omitempty"` // of the time, with memory being read or written
	PowerWatts               *float64 `json:"gpu_power_watts,omitempty"`
	SMClockMHz               *float64 `json:"gpu_sm_clock_mhz,omitempty"`
	MemoryClockMHz           *float64 `json:"gpu_memory_clock_mhz,omitempty"`
	TemperatureCelsius       *float64 `json:"gpu_temperature_celsius,omitempty"`
}

// GPUSampleInterval suits a run that lasts hours: NVML's own figures are averages over about a second.
const GPUSampleInterval = time.Second

// Sampler reads a GPU's figures; *nvml.Device implements it.
type Sampler interface{ Sample() nvml.Sample }

// GPU samples a GPU in the background. All methods accept a nil *GPU, which stands for a run on
// the CPU or without NVML: it has no figures. Any goroutine may call them.
type GPU struct {
	mu     sync.Mutex
	newest GPUFigures
	since  averages // since the last call of Mean
	peaks  peaks    // since the last call of Peaks

	stop    func()
	stopped sync.WaitGroup
}

// WatchGPU takes a sample now and then one every interval, until Stop.
func WatchGPU(s Sampler, interval time.Duration) *GPU {
	stopping := make(chan struct{})
	g := &GPU{stop: sync.OnceFunc(func() { close(stopping) })}
	g.take(s.Sample())
	g.stopped.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-stopping:
				return
			case <-tick.C:
				g.take(s.Sample())
			}
		}
	})
	return g
}

// Stop ends the sampling; the sampler is not used after it returns.
func (g *GPU) Stop() {
	if g == nil {
		return
	}
	g.stop()
	g.stopped.Wait()
}

func (g *GPU) take(s nvml.Sample) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.newest = GPUFigures(s)
	g.since.add(g.newest)
	g.peaks.add(g.newest)
}

// Newest is the latest sample.
func (g *GPU) Newest() GPUFigures {
	if g == nil {
		return GPUFigures{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.newest
}

// Mean averages the samples since the previous call; of memory and temperature it is the maximum.
// Without a sample in between it is the newest one.
func (g *GPU) Mean() GPUFigures {
	if g == nil {
		return GPUFigures{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.since.figures()
	g.since = averages{}
	if f == (GPUFigures{}) {
		return g.newest
	}
	return f
}

// Peaks are the most memory in use and the most power drawn since the previous call; nil where no
// sample had a figure.
func (g *GPU) Peaks() (memoryBytes *uint64, powerWatts *float64) {
	if g == nil {
		return nil, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peaks
	g.peaks = peaks{}
	return p.memory, p.power
}

type peaks struct {
	memory *uint64
	power  *float64
}

func (p *peaks) add(f GPUFigures) {
	p.memory, p.power = larger(p.memory, f.MemoryUsedBytes), larger(p.power, f.PowerWatts)
}

// averages accumulate figures; one that was never reported stays nil.
type averages struct {
	memory, total                            *uint64
	load, memoryLoad, power, sm, memoryClock mean
	temperature                              *float64
}

func (a *averages) add(f GPUFigures) {
	a.memory, a.total = larger(a.memory, f.MemoryUsedBytes), larger(a.total, f.MemoryTotalBytes)
	a.load.add(f.UtilizationPercent)
	a.memoryLoad.add(f.MemoryUtilizationPercent)
	a.power.add(f.PowerWatts)
	a.sm.add(f.SMClockMHz)
	a.memoryClock.add(f.MemoryClockMHz)
	a.temperature = larger(a.temperature, f.TemperatureCelsius)
}

func (a *averages) figures() GPUFigures {
	return GPUFigures{MemoryUsedBytes: a.memory, MemoryTotalBytes: a.total,
		UtilizationPercent: a.load.value(), MemoryUtilizationPercent: a.memoryLoad.value(), PowerWatts: a.power.value(),
		SMClockMHz: a.sm.value(), MemoryClockMHz: a.memoryClock.value(), TemperatureCelsius: a.temperature}
}

type mean struct {
	sum float64
	n   int
}

func (m *mean) add(x *float64) {
	if x != nil {
		m.sum, m.n = m.sum+*x, m.n+1
	}
}

// value is rounded to one decimal, nil without numbers.
func (m *mean) value() *float64 {
	if m.n == 0 {
		return nil
	}
	x := math.Round(m.sum/float64(m.n)*10) / 10
	return &x
}

// larger treats nil as less than any number.
func larger[T uint64 | float64](a, b *T) *T {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}
