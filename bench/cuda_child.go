package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"so8t/device"
	"so8t/telemetry"
)

// measure runs a child within the time left, and notes in r the GPU's figures meanwhile and what went wrong.
func (b *cudaBench) measure(r *trainRun, p process, take func(line []byte) error) bool {
	if err := context.Cause(b.ctx); err != nil {
		r.Error = err.Error()
		return false
	}
	ctx, cancel := context.WithTimeoutCause(b.ctx, b.Child, fmt.Errorf("it took more than %s (--child)", b.Child))
	defer cancel()
	if b.gpu != nil {
		const interval = 100 * time.Millisecond // a child's batch takes seconds
		b.watch = telemetry.WatchGPU(b.gpu, interval)
		defer b.watch.Stop()
	}
	var failed error
	lines := 0
	stderr, err := p.follow(ctx, func(line []byte) {
		lines++
		failed = errors.Join(failed, take(line))
	})
	r.NVMLPeak, r.PowerWatts = b.watch.Peaks()
	switch {
	case ctx.Err() != nil: // its last line on the standard error is not why it ended
		r.Error = err.Error()
	case err != nil:
		r.Error = reason(stderr, err)
	case failed != nil:
		r.Error = failed.Error()
	case lines == 0:
		r.Error = "it printed no result"
	}
	return r.Error == ""
}

func (b *cudaBench) self(args ...string) (process, bool) {
	p, err := self(args...)
	if err != nil {
		b.skip(args[0], err.Error())
	}
	return p, err == nil
}

// read runs one of this program's own commands and decodes its last line; a failure is left out by the command's name.
func (b *cudaBench) read(result any, args ...string) bool {
	p, ok := b.self(args...)
	if !ok {
		return false
	}
	var r trainRun
	if !b.measure(&r, p, func(line []byte) error { return json.Unmarshal(line, result) }) {
		b.skip(args[0], r.Error)
		return false
	}
	return true
}

func (b *cudaBench) bandwidth() {
	bytes := 256 << 20 // far beyond every cache: hundreds of MB on servers' CPUs
	if b.Device.Kind == device.CUDA {
		bytes = 2 << 30
	}
	var memory bandwidthResult
	if b.read(&memory, "bandwidth", "--device", b.Device.String(), "--bytes", strconv.Itoa(bytes)) {
		b.report.Device, b.report.ISA, b.report.Bandwidth = memory.Device, memory.ISA, &memory
		fmt.Printf("%s (%s): memory %.0f GB/s\n", memory.Device, memory.ISA, memory.BytesPerSecond/1e9)
	}
}

func (b *cudaBench) decode(batch int) {
	tokens := 192
	if b.Quick {
		tokens = 64
	}
	n := strconv.Itoa
	var r decodeResult
	if b.read(&r, "decode", "--base", b.base, "--device", b.Device.String(), "--threads", n(b.Threads), "--batch", n(batch), "--new", n(tokens)) {
		b.report.Decode = append(b.report.Decode, r)
		fmt.Println(b.report.decodeLine(r))
	}
}

func (b *cudaBench) stall() {
	steps := 20
	if b.Quick {
		steps = 12
	}
	n := strconv.Itoa
	var r saveResult
	if b.read(&r, "stall", "--base", b.base, "--device", b.Device.String(), "--threads", n(b.Threads), "--rank", n(b.Rank), "--sequence", n(b.Sequence),
		"--steps", n(steps), "--every", "6", "--dir", filepath.Dir(b.base)) {
		b.report.Stall = &r
		fmt.Printf("a checkpoint of %.2f GB stops training for %.1f ms, of steps of %.0f ms; %.1f steps beside it take %.0f ms; committed after %.1f s\n",
			float64(r.StateBytes)/1e9, 1e3*r.CallSeconds, 1e3*r.StepSeconds, r.SlowedSteps, 1e3*r.DuringSeconds, r.DiskSeconds)
	}
}

// profile prints the time by operation that the CUDA library writes for three steps.
func (b *cudaBench) profile() {
	ctx, cancel := context.WithTimeout(b.ctx, b.Child)
	defer cancel()
	p, ok := b.self(append(b.stepArgs(1, "fixed"), "--steps", "3", "--warm", "2", "--seconds", "0")...)
	if !ok {
		return
	}
	p.env = []string{"SO8T_CUDA_PROFILE=/dev/stderr"}
	text, err := p.follow(ctx, func([]byte) {})
	if err != nil || text == "" {
		b.skip("profile", reason(text, errors.Join(err, errors.New("the library printed none"))))
		return
	}
	b.report.Profile = strings.Split(text, "\n")
	fmt.Printf("profile of three steps, batch 1:\n%s\n", text)
}

// whyMissing is why the peer cannot run; empty if it can. Python is asked once a variant: importing torch takes seconds.
func (b *cudaBench) whyMissing(variant string) string {
	why, known := b.missing[variant]
	if !known {
		why = b.importPeer(variant)
		b.missing[variant] = why
	}
	return why
}

func (b *cudaBench) importPeer(variant string) string {
	if b.Python == "" {
		return "no Python given (--python or SO8T_PEER_PYTHON)"
	}
	modules := "torch, transformers, peft"
	if variant == "int8" {
		if b.Device.Kind != device.CUDA {
			return "bitsandbytes' int8 is for GPUs"
		}
		modules += ", bitsandbytes"
	}
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, b.Python, "-c", "import "+modules).CombinedOutput(); err != nil {
		return reason(strings.TrimSpace(string(out)), err)
	}
	return ""
}
