package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"so8t/contract"
	"so8t/disk"
	"so8t/native"
)

// holdDevice takes the GPU for this activity. Two workers of one machine may go by different
// hosts' names; two models on one GPU would fail for want of memory in the midst of the night.
// On the CPU there is nothing to take.
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
	return fileName(cmp.Or(strings.TrimSpace(first), "0"))
}
