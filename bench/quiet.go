package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// quietCores is how much of one core others may use: more, and PyTorch falls behind by far more than that
// (its threads wait for each other by spinning), so that a comparison flatters this engine.
const quietCores = 0.2

const ticksPerSecond = 100 // USER_HZ, the same on every Linux architecture that Go has

// turn is one round of measurements, each on a machine as quiet as can be had. After an error it does nothing more.
type turn struct {
	wait   time.Duration // for quiet, before each measurement
	again  int           // repetitions of a disturbed measurement
	others float64       // the most cores that other processes used during one
	err    error
}

func (t *turn) run(ctx context.Context, result any, program string, args ...string) {
	for try := 0; t.err == nil; try++ {
		if t.err = quiet(ctx, t.wait); t.err != nil {
			return
		}
		var others float64
		if others, t.err = undisturbed(ctx, result, program, args...); others <= quietCores || try >= t.again {
			t.others = max(t.others, others)
			return
		}
	}
}

// undisturbed runs a child, and gives the cores that others used meanwhile.
func undisturbed(ctx context.Context, result any, program string, args ...string) (cores float64, err error) {
	before, err := busyTicks()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	own, err := child(ctx, result, program, args...)
	if err != nil {
		return 0, err
	}
	after, err := busyTicks()
	wall := time.Since(start).Seconds()
	// The child's own time is finer than the ticks: the difference can fall below zero.
	return max(0, float64(after-before)/ticksPerSecond-own.Seconds()) / wall, err
}

// quiet waits until the machine is nearly idle, at most for the given time.
func quiet(ctx context.Context, wait time.Duration) error {
	for end := time.Now().Add(wait); ; {
		if cores, err := coresInUse(ctx, time.Second); err != nil || cores <= quietCores || time.Now().After(end) {
			return err
		}
	}
}

// coresInUse averages over a time in which this process does nothing.
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

// busyTicks sums what all processors have spent on anything but waiting, since boot; proc(5).
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
