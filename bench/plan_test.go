package main

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"so8t/device"
	"so8t/engine"
	"so8t/engine/phi3"
)

// TestWritePlan: every purpose has a line, the last is their sum, and all activities take more than the layers' inputs.
func TestWritePlan(t *testing.T) {
	dir := t.TempDir()
	if _, err := writeModel(t.Context(), dir, shapes["tiny"], "", 1); err != nil {
		t.Fatal(err)
	}
	run := training{modelFlags: modelFlags{Base: dir, Device: device.Device{Kind: device.CPU}}, rank: 8, length: 512,
		row: 1024, samples: 2, optim: "adamw_torch", int8: true}
	var out strings.Builder
	total, err := writePlan(&out, planned(t, run))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var sum, last float64
	for _, line := range lines {
		sum += last
		if _, err := fmt.Sscanf(line[30:], "%f GiB", &last); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	if rounding := 0.0005 * float64(len(lines)); math.Abs(sum-last) > rounding || math.Abs(last-float64(total)/(1<<30)) > rounding || total == 0 {
		t.Errorf("the lines' sum is %v GiB, the last is %v, returned %v bytes:\n%s", sum, last, total, out.String())
	}
	run.recompute = true
	if less, err := writePlan(new(strings.Builder), planned(t, run)); err != nil || less >= total {
		t.Errorf("%d bytes with gradient checkpointing, %d without: %v", less, total, err)
	}
	if _, err := writePlan(failing{}, planned(t, run)); err == nil {
		t.Error("a failed write was not noticed")
	}
}

func planned(t *testing.T, run training) []phi3.Need {
	t.Helper()
	needs, err := engine.Plan(run.options())
	if err != nil {
		t.Fatal(err)
	}
	return needs
}

// TestPlanForFreeMemory: what auto means depends on the memory that is free.
func TestPlanForFreeMemory(t *testing.T) {
	dir := t.TempDir()
	if _, err := writeModel(t.Context(), dir, shapes["tiny"], "", 1); err != nil {
		t.Fatal(err)
	}
	c := planCommand{Shape: "tiny", Sequence: 128, Batch: 1, Saved: "auto", Expanded: "auto", Optim: "adamw_torch"}
	if _, err := c.decide(dir); err == nil {
		t.Error("auto was planned without the memory that it depends on")
	}
	for free, want := range map[float64]bool{80: true, 0.001: false} {
		c.Free = free
		d, err := c.decide(dir)
		if (err == nil) != want || want && !(d.Expanded && d.Saved == "all" && len(d.Needs) > 0) {
			t.Errorf("%v GiB: %+v, %v", free, d, err)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("no") }
