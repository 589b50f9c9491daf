package main

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"so8t/device"
)

// TestWritePlan: every purpose has a line, the last is their sum, and all activities take more than the layers' inputs.
func TestWritePlan(t *testing.T) {
	dir := t.TempDir()
	if _, err := writeModel(t.Context(), dir, shapes["tiny"], "", 1); err != nil {
		t.Fatal(err)
	}
	run := training{base: dir, device: device.Device{Kind: device.CPU}, rank: 8, length: 512, row: 1024, samples: 2, optim: "adamw_torch", int8: true}
	var out strings.Builder
	total, err := writePlan(&out, run.options())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var sum, last float64
	for _, line := range lines {
		sum += last
		if _, err := fmt.Sscanf(line[24:], "%f GiB", &last); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	if rounding := 0.0005 * float64(len(lines)); math.Abs(sum-last) > rounding || math.Abs(last-float64(total)/(1<<30)) > rounding || total == 0 {
		t.Errorf("the lines' sum is %v GiB, the last is %v, returned %v bytes:\n%s", sum, last, total, out.String())
	}
	run.recompute = true
	if less, err := writePlan(new(strings.Builder), run.options()); err != nil || less >= total {
		t.Errorf("%d bytes with gradient checkpointing, %d without: %v", less, total, err)
	}
	if _, err := writePlan(failing{}, run.options()); err == nil {
		t.Error("a failed write was not noticed")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("no") }
