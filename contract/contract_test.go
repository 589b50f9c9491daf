package contract

import (
	"testing"

	"so8t/device"
)

// A run that a worker of before took up waits on the queue of a host's only device.
func TestDeviceQueue(t *testing.T) {
	for d, want := range map[device.Device]string{
		{}:                              "retrain-device@gpu1",
		{Kind: device.CPU}:              "retrain-device@gpu1",
		{Kind: device.CUDA}:             "retrain-device@gpu1",
		{Kind: device.CUDA, Ordinal: 1}: "retrain-device@gpu1/cuda:1",
	} {
		if got := DeviceQueue("gpu1", d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
