package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// algorithms is the file of cuBLASLt's choices that the children share: choosing takes each of them seconds.
func (b *cudaBench) algorithms() string {
	return filepath.Join(filepath.Dir(b.base), "products.choices")
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
	n := strconv.Itoa
	var r decodeResult
	if b.read(&r, "decode", "--base", b.base, "--device", b.Device.String(), "--threads", n(b.Threads), "--algorithms", b.algorithms(),
		"--batch", n(batch), "--new", "192") {
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
	if b.read(&r, "stall", "--base", b.base, "--device", b.Device.String(), "--threads", n(b.Threads), "--algorithms", b.algorithms(),
		"--rank", n(b.Rank), "--sequence", n(b.Sequence), "--steps", n(steps), "--every", "6", "--dir", filepath.Dir(b.base)) {
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

// whyMissing is why the peer cannot run; empty if it can.
func (b *cudaBench) whyMissing(variant string) string {
	switch {
	case b.Python == "":
		return "no Python given (--python or SO8T_PEER_PYTHON)"
	case variant == "int8" && b.Device.Kind != device.CUDA:
		return "bitsandbytes' int8 is for GPUs"
	}
	if b.missing == nil {
		b.missing = b.importModules()
	}
	for _, module := range peerModules {
		if why := b.missing[module]; why != "" && (variant == "int8" || module != "bitsandbytes") {
			return why
		}
	}
	return ""
}

var peerModules = []string{"torch", "transformers", "peft", "bitsandbytes"}

// importModules asks Python once for all modules, since importing torch takes seconds, and returns why each is missing.
func (b *cudaBench) importModules() map[string]string {
	const script = `import importlib, json, sys
missing = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as e:
        missing[name] = "%s: %s" % (type(e).__name__, e)
print(json.dumps(missing))`
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	missing := map[string]string{}
	if _, err := (process{program: b.Python, args: append([]string{"-c", script}, peerModules...)}).read(ctx, &missing); err != nil {
		for _, module := range peerModules {
			missing[module] = lastLines(err.Error(), 1)
		}
	}
	return missing
}
