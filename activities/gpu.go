package activities

import (
	"math"
	"strings"
	"sync"
	"time"

	"so8t/contract"
	"so8t/native"
	"so8t/native/nvml"
)

// gpu reads a GPU's figures every second while an activity works. A nil *gpu is a run on the CPU, or a GPU
// that nobody tells about: it has no figures.
type gpu struct {
	mu     sync.Mutex
	newest nvml.Sample
	since  averages // the last point of the report

	stop    chan struct{}
	stopped sync.WaitGroup
}

type sampler interface{ Sample() nvml.Sample }

const gpuSampleEvery = time.Second // NVML's own figures are averages over about that

// watchGPU begins to read the GPU that info describes, until the job ends.
func (j *job) watchGPU(info native.Info) *gpu {
	if !strings.HasPrefix(info.ISA, "sm_") {
		return nil
	}
	d, err := nvml.Open(0) // the engine's device
	if err != nil {
		j.log.Info("the reports go without the GPU's load and power", "because", err.Error())
		return nil
	}
	j.ended = append(j.ended, d.Close)
	if d.Name != info.Name { // rather none than another GPU's
		j.log.Warn("the reports go without the GPU's load and power: NVML means another GPU", "nvml", d.Name, "cuda", info.Name)
		return nil
	}
	g := newGPU(d, gpuSampleEvery)
	j.ended = append(j.ended, g.end)
	j.log.Info("GPU", "name", d.Name, "driver", d.Driver, "isa", info.ISA)
	return g
}

func newGPU(d sampler, every time.Duration) *gpu {
	g := &gpu{stop: make(chan struct{})}
	g.take(d.Sample())
	g.stopped.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-g.stop:
				return
			case <-tick.C:
				g.take(d.Sample())
			}
		}
	})
	return g
}

func (g *gpu) end() {
	close(g.stop)
	g.stopped.Wait()
}

func (g *gpu) take(s nvml.Sample) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.newest = s
	g.since.add(s)
}

// news are the newest figures for a reader.
func (g *gpu) news() *contract.GPU {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.newest
	if s.MemoryTotalBytes == nil || s.MemoryUsedBytes == nil {
		return nil
	}
	return &contract.GPU{MemoryUsedBytes: *s.MemoryUsedBytes, MemoryTotalBytes: *s.MemoryTotalBytes,
		UtilizationPercent: whole(s.UtilizationPercent), PowerWatts: whole(s.PowerWatts)}
}

func whole(x *float64) *int {
	if x == nil {
		return nil
	}
	n := int(math.Round(*x))
	return &n
}

// point is what the report says of the time since the last point: means, and the most memory and heat.
func (g *gpu) point() nvml.Sample {
	if g == nil {
		return nvml.Sample{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.since.sample()
	g.since = averages{}
	if s == (nvml.Sample{}) { // two steps within a second
		return g.newest
	}
	return s
}

// averages sum up samples; what no sample had is absent from the result.
type averages struct {
	memory, total                   *uint64
	load, memoryLoad, power, sm, mc mean
	heat                            *float64
}

func (a *averages) add(s nvml.Sample) {
	a.memory, a.total = most(a.memory, s.MemoryUsedBytes), most(a.total, s.MemoryTotalBytes)
	a.load.add(s.UtilizationPercent)
	a.memoryLoad.add(s.MemoryUtilizationPercent)
	a.power.add(s.PowerWatts)
	a.sm.add(s.SMClockMHz)
	a.mc.add(s.MemoryClockMHz)
	a.heat = most(a.heat, s.TemperatureCelsius)
}

func (a *averages) sample() nvml.Sample {
	return nvml.Sample{MemoryUsedBytes: a.memory, MemoryTotalBytes: a.total, UtilizationPercent: a.load.value(), MemoryUtilizationPercent: a.memoryLoad.value(),
		PowerWatts: a.power.value(), SMClockMHz: a.sm.value(), MemoryClockMHz: a.mc.value(), TemperatureCelsius: a.heat}
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

func (m *mean) value() *float64 {
	if m.n == 0 {
		return nil
	}
	x := math.Round(m.sum/float64(m.n)*10) / 10
	return &x
}

func most[T uint64 | float64](a, b *T) *T {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}
