package telemetry

import (
	"testing"
	"time"

	"so8t/native"
	"so8t/native/nvml"
)

// reading is an H100 at work.
func reading(used uint64, load, watts float64) nvml.Sample {
	return nvml.Sample{MemoryUsedBytes: &used, MemoryTotalBytes: of[uint64](80 << 30),
		UtilizationPercent: &load, PowerWatts: &watts, TemperatureCelsius: of(50 + load/10)}
}

type fakeGPU chan nvml.Sample

func (f fakeGPU) Sample() nvml.Sample { return <-f }

type fakeDevice struct{}

func (fakeDevice) Info() (native.Info, error) {
	return native.Info{Name: "NVIDIA H100 80GB HBM3", ISA: "sm_90"}, nil
}
func (fakeDevice) Memory() ([]native.Use, error) { return nil, nil }
func (fakeDevice) Saved() string                 { return "attention" }
func (fakeDevice) Expanded() bool                { return true }

func TestGPUIsSampled(t *testing.T) {
	f := make(fakeGPU, 3)
	f <- reading(5<<30, 100, 600)
	g := WatchGPU(f, time.Millisecond)
	f <- reading(7<<30, 51, 300)
	f <- reading(6<<30, 80, 300.5)
	for *g.Newest().MemoryUsedBytes != 6<<30 {
		time.Sleep(time.Millisecond)
	}
	p := g.Mean()
	if *p.MemoryUsedBytes != 7<<30 || *p.UtilizationPercent != 77 || *p.PowerWatts != 400.2 || *p.TemperatureCelsius != 60 || p.SMClockMHz != nil {
		t.Errorf("mean %s", marshal(t, p))
	}
	if p := g.Mean(); *p.UtilizationPercent != 80 {
		t.Errorf("a mean without a sample of its own: %s", marshal(t, p))
	}
	close(f) // later samples are empty
	g.Stop()
	g.Stop()
	g.take(nvml.Sample{})
	if n := g.Newest(); n != (GPUFigures{}) {
		t.Errorf("a silent driver: %s", marshal(t, n))
	}
}

func TestPeaksAreThoseSinceTheCallBefore(t *testing.T) {
	g := &GPU{}
	if memory, watts := g.Peaks(); memory != nil || watts != nil {
		t.Errorf("without a sample: %v, %v", memory, watts)
	}
	g.take(reading(5<<30, 100, 600))
	g.take(reading(7<<30, 51, 300))
	g.Mean() // which has a period of its own
	if memory, watts := g.Peaks(); *memory != 7<<30 || *watts != 600 {
		t.Errorf("%d, %v", *memory, *watts)
	}
	g.take(reading(6<<30, 51, 250))
	if memory, watts := g.Peaks(); *memory != 6<<30 || *watts != 250 {
		t.Errorf("then %d, %v", *memory, *watts)
	}
}

func TestNoGPUNoFigures(t *testing.T) {
	var g *GPU
	memory, watts := g.Peaks()
	if g.Newest() != (GPUFigures{}) || g.Mean() != (GPUFigures{}) || memory != nil || watts != nil {
		t.Error("figures of no GPU")
	}
	g.Stop()
}
