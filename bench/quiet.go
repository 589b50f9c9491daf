package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// quietCores is how much of one core others may use. PyTorch loses far more speed than they take, since its threads wait for each other
// by spinning: a busy machine flatters this engine.
const quietCores = 0.2

const ticksPerSecond = 100 // USER_HZ, the same on every Linux architecture that Go has

// turn is a round of measurements, each on a machine as quiet as it gets. After an error it does nothing more.
type turn struct {
	wait   time.Duration // for quiet, before each measurement
	again  int           // repetitions of a disturbed measurement
	others float64       // the most cores that other processes used during one
	err    error
}

// run reads a process's result.
func (t *turn) run(ctx context.Context, result any, p process) {
	if t.err == nil {
		t.err = t.read(ctx, result, p)
	}
}

// read is run for a process that may fail.
func (t *turn) read(ctx context.Context, result any, p process) error {
	for try := 0; ; try++ {
		if err := quiet(ctx, t.wait); err != nil {
			return err
		}
		others, err := undisturbed(ctx, result, p)
		if err != nil {
			return err
		}
		if others <= quietCores || try >= t.again {
			t.others = max(t.others, others)
			return nil
		}
	}
}

// undisturbed reads a process's result and returns the cores that others used meanwhile.
func undisturbed(ctx context.Context, result any, p process) (cores float64, err error) {
	before, err := busyTicks()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	own, err := p.read(ctx, result)
	if err != nil {
		return 0, err
	}
	after, err := busyTicks()
	wall := time.Since(start).Seconds()
	// The child's own time is finer than a tick, so the difference can be negative.
	return max(0, float64(after-before)/ticksPerSecond-own.Seconds()) / wall, err
}

// quiet waits until the machine is nearly idle, or for the given time.
func quiet(ctx context.Context, wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	for end := time.Now().Add(wait); ; {
		if cores, err := coresInUse(ctx, time.Second); err != nil || cores <= quietCores || time.Now().After(end) {
			return err
		}
	}
}

// coresInUse is an average over that time, in which this process sleeps.
func coresInUse(ctx context.Context, over time.Duration) (float64, error) {
	start, err := busyTicks()
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(over):
	}
	end, err := busyTicks()
	return float64(end-start) / ticksPerSecond / over.Seconds(), err
}

// busyTicks is the time that all processors have been busy since boot, in ticks; proc(5).
func busyTicks() (int64, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	var user, nice, system, idle, iowait, irq, softirq, steal int64
	if _, err := fmt.Sscanf(line, "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal); err != nil {
		return 0, fmt.Errorf("/proc/stat: first line %q: %w", line, err)
	}
	return user + nice + system + irq + softirq + steal, nil
}
