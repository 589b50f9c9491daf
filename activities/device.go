package activities

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"so8t/configs"
	"so8t/contract"
	"so8t/device"
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
	d := runDevice(j.run)
	if d.Kind != device.CUDA {
		return nil
	}
	gpu, err := device.Visible(d.Ordinal)
	if err != nil {
		return fail(contract.ErrDevice, err)
	}
	name := "cuda-" + rundir.FileName(gpu)
	lease, err := disk.AcquireLease(ctx, filepath.Join(os.TempDir(), "so8t-"+name), rundir.Claimant(j.run, attempt(ctx)))
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

// runDevice is the device that a run was given when it was claimed. A run that was claimed before claims gave one takes
// the device of its configuration.
func runDevice(run contract.Run) device.Device {
	if !run.Device.IsZero() {
		return run.Device
	}
	return native.Resolve(device.MustParse(run.Config.Device))
}

// Devices lists what this host computes on, one for each queue: the first GPU, or the CPU, and every further GPU.
func Devices() []device.Device {
	list := []device.Device{native.Resolve(device.Device{})}
	n, _ := native.GPUs() // a GPU library that fails is reported by the run that wants it
	for i := 1; i < n; i++ {
		list = append(list, device.Device{Kind: device.CUDA, Ordinal: i})
	}
	return list
}

// claimDevice finds the device of a configuration on this host.
func claimDevice(name string) (device.Device, error) {
	d, err := device.Parse(name)
	if err != nil {
		return d, fail(contract.ErrConfig, err)
	}
	d = native.Resolve(d)
	if d.Kind != device.CUDA {
		return d, nil
	}
	if n, err := native.GPUs(); err == nil && d.Ordinal >= n { // what else is wrong is told when it is opened
		return d, fail(contract.ErrModel, fmt.Errorf("device: %w: there is no %s, but %d GPUs", native.ErrNoDevice, d, n))
	}
	return d, nil
}

// checkKeepExpanded refuses to train on a CPU what asks for a GPU's memory. A run that exists is only evaluated.
func checkKeepExpanded(c *configs.Config, on device.Device, existing bool) error {
	if c.Model.KeepExpanded == configs.On && on.Kind == device.CPU && !existing {
		return errors.New("model.keep_expanded: true is for a GPU, but the run's device is the CPU, which reads int8 as it lies: write auto or false")
	}
	return nil
}

// watchGPU samples the GPU that info describes until the job ends; nil on the CPU and where NVML cannot tell.
func (j *job) watchGPU(info native.Info) *telemetry.GPU {
	if !strings.HasPrefix(info.ISA, "sm_") {
		return nil
	}
	d, err := nvml.Open(runDevice(j.run).Ordinal)
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
