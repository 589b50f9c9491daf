package activities

import (
	"testing"

	"so8t/contract"
	"so8t/native"
	"so8t/telemetry"
)

func TestNoGPUIsWatchedOnTheCPU(t *testing.T) {
	j := testJob(t)
	for _, info := range []native.Info{{Name: "AMD EPYC", ISA: "avx512_bf16"}, {Name: "no such GPU", ISA: "sm_90"}} {
		if g := j.watchGPU(info); g != nil {
			t.Errorf("%s: %+v", info.Name, g.Newest())
		}
	}
	j.end()
}

func TestGPUProgress(t *testing.T) {
	if p := gpuProgress(telemetry.GPUFigures{}); p != nil {
		t.Errorf("without figures: %+v", p)
	}
	used, total, load, watts := uint64(6<<30), uint64(80<<30), 80.4, 300.5
	p := gpuProgress(telemetry.GPUFigures{MemoryUsedBytes: &used, MemoryTotalBytes: &total, UtilizationPercent: &load, PowerWatts: &watts})
	if p.MemoryUsedBytes != used || p.MemoryTotalBytes != total || *p.UtilizationPercent != 80 || *p.PowerWatts != 301 {
		t.Errorf("%+v", p)
	}
	p = gpuProgress(telemetry.GPUFigures{MemoryUsedBytes: &used, MemoryTotalBytes: &total})
	if *p != (contract.GPU{MemoryUsedBytes: used, MemoryTotalBytes: total}) {
		t.Errorf("memory alone: %+v", p)
	}
}
