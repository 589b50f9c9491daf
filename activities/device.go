package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"so8t/contract"
	"so8t/disk"
	"so8t/native"
	"so8t/native/nvml"
	"so8t/rundir"
	"so8t/telemetry"
)

// holdDevice takes the GPU for this activity, so that another worker of the machine, perhaps under another
// host name, does not put a second model on it and run out of memory during the night. On the CPU there is
// nothing to take.
func (j *job) holdDevice(ctx context.Context) error {
	if d := j.run.Config.Device; d == "cpu" || d == "auto" && !native.HasGPU() {
		return nil
	}
	name := "cuda-" + visibleGPU()
	lease, err := disk.AcquireLease(ctx, filepath.Join(os.TempDir(), "so8t-"+name), j.claimant(ctx))
	var held *disk.HeldError
	if errors.As(err, &held) {
		return fail(contract.ErrDeviceInUse, fmt.Errorf("device %s is in use by %s", name, held.Holder))
	}
	if err != nil {
		return err
	}
	j.ended = append(j.ended, func() { _ = lease.Release() })
	return nil
}

// visibleGPU names the first GPU that this process sees.
func visibleGPU() string {
	first, _, _ := strings.Cut(os.Getenv("CUDA_VISIBLE_DEVICES"), ",")
	return rundir.FileName(cmp.Or(strings.TrimSpace(first), "0"))
}

// watchGPU samples the GPU that info describes until the job ends; nil on the CPU and where NVML cannot tell.
func (j *job) watchGPU(info native.Info) *telemetry.GPU {
	if !strings.HasPrefix(info.ISA, "sm_") {
		return nil
	}
	d, err := nvml.Open(0) // the engine's device
	if err != nil {
		j.log.Info("no GPU load and power in the reports", "because", err.Error())
		return nil
	}
	j.ended = append(j.ended, d.Close)
	if d.Name != info.Name { // no figures rather than another GPU's
		j.log.Warn("no GPU load and power in the reports: NVML's device is another one", "nvml", d.Name, "cuda", info.Name)
		return nil
	}
	g := telemetry.WatchGPU(d, telemetry.GPUSampleInterval)
	j.ended = append(j.ended, g.Stop)
	j.log.Info("GPU", "name", d.Name, "driver", d.Driver, "isa", info.ISA)
	return g
}

// gpuProgress is the part of a sample that the run's page shows; nil where the driver does not report memory.
func gpuProgress(f telemetry.GPUFigures) *contract.GPU {
	if f.MemoryTotalBytes == nil || f.MemoryUsedBytes == nil {
		return nil
	}
	return &contract.GPU{MemoryUsedBytes: *f.MemoryUsedBytes, MemoryTotalBytes: *f.MemoryTotalBytes,
		UtilizationPercent: rounded(f.UtilizationPercent), PowerWatts: rounded(f.PowerWatts)}
}

func rounded(x *float64) *int {
	if x == nil {
		return nil
	}
	n := int(math.Round(*x))
	return &n
}
