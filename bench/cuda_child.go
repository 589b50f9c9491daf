package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"so8t/native/nvml"
)

// own stands for this program as a child's name.
const own = ""

// peftLine is what peft_train.py prints for one batch size.
type peftLine struct {
	peft
	Batch       int       `json:"batch"`
	Error       string    `json:"error"`
	StepSeconds []float64 `json:"step_seconds"`
	LossFirst   float64   `json:"loss_first"`
	LossLast    float64   `json:"loss_last"`
}

// measure runs a child within the time left, and notes in r what the device did meanwhile and what went wrong.
func (b *cudaBench) measure(r *trainRun, take func(line []byte) error, name string, args ...string) bool {
	if err := context.Cause(b.ctx); err != nil {
		r.Error = err.Error()
		return false
	}
	ctx, cancel := context.WithTimeoutCause(b.ctx, b.child, fmt.Errorf("it took more than %s (-child)", b.child))
	defer cancel()
	b.watch = watchGPU(b.gpu)
	defer b.watch.end()
	var failed error
	lines := 0
	stderr, err := follow(ctx, func(line []byte) {
		lines++
		failed = errors.Join(failed, take(line))
	}, nil, program(name), args...)
	r.NVMLPeak, r.PowerWatts = b.watch.since()
	switch {
	case ctx.Err() != nil: // whatever it said last, that was not its end
		r.Error = err.Error()
	case err != nil:
		r.Error = why(stderr, err)
	case failed != nil:
		r.Error = failed.Error()
	case lines == 0:
		r.Error = "it printed no result"
	}
	return r.Error == ""
}

// self measures by one of this program's own commands; what went wrong is left out, by name.
func (b *cudaBench) self(result any, args ...string) bool {
	var r trainRun
	if !b.measure(&r, func(line []byte) error { return json.Unmarshal(line, result) }, own, args...) {
		b.skip(args[0], r.Error)
		return false
	}
	return true
}

// profile prints what one step leaves on the standard error when the CUDA library times its operations.
func (b *cudaBench) profile() {
	ctx, cancel := context.WithTimeout(b.ctx, b.child)
	defer cancel()
	args := append(b.stepArgs(1, "fixed"), "-steps", "3", "-warm", "2", "-seconds", "0")
	text, err := follow(ctx, func([]byte) {}, []string{"SO8T_CUDA_PROFILE=/dev/stderr"}, program(own), args...)
	if err != nil || text == "" {
		b.skip("profile", why(text, errors.Join(err, errors.New("the library printed none"))))
		return
	}
	b.report.Profile = strings.Split(text, "\n")
	fmt.Printf("profile of three steps, batch 1:\n%s\n", text)
}

func program(name string) string {
	if name != own {
		return name
	}
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// why is one line: the last that a child said, for out of memory and for the rest.
func why(stderr string, err error) string {
	last := lastLines(stderr, 1)
	if last == "" {
		return err.Error()
	}
	const longest = 300
	return strings.ToValidUTF8(last[:min(len(last), longest)], "")
}

// missing is why a peer cannot run; empty if it can.
func (b *cudaBench) missing(variant string) string {
	if b.python == "" {
		return "no Python given (-python or SO8T_PEER_PYTHON)"
	}
	modules := "torch, transformers, peft"
	if variant == "int8" {
		if b.device != "cuda" {
			return "bitsandbytes' int8 is for GPUs"
		}
		modules += ", bitsandbytes"
	}
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, b.python, "-c", "import "+modules).CombinedOutput(); err != nil {
		return why(strings.TrimSpace(string(out)), err)
	}
	return ""
}

// watch reads a GPU's memory and power ten times a second. A nil one knows nothing.
type watch struct {
	device   *nvml.Device
	stop     chan struct{}
	watching sync.WaitGroup

	mu    sync.Mutex
	bytes uint64
	watts float64
}

func watchGPU(d *nvml.Device) *watch {
	if d == nil {
		return nil
	}
	w := &watch{device: d, stop: make(chan struct{})}
	w.watching.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			s := d.Sample()
			w.mu.Lock()
			if s.MemoryUsedBytes != nil {
				w.bytes = max(w.bytes, *s.MemoryUsedBytes)
			}
			if s.PowerWatts != nil {
				w.watts = max(w.watts, *s.PowerWatts)
			}
			w.mu.Unlock()
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
		}
	})
	return w
}

// since is the most memory and power in use since it was asked last.
func (w *watch) since() (bytes *uint64, watts *float64) {
	if w == nil {
		return nil, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bytes > 0 {
		bytes = new(w.bytes)
	}
	if w.watts > 0 {
		watts = new(w.watts)
	}
	w.bytes, w.watts = 0, 0
	return bytes, watts
}

func (w *watch) end() {
	if w != nil {
		close(w.stop)
		w.watching.Wait()
	}
}

func (b *cudaBench) peerThreads() int {
	if b.threads > 0 {
		return b.threads
	}
	return runtime.NumCPU()
}

// passBytes is far beyond every cache: 50 MB on an H100, hundreds on servers' CPUs.
func (b *cudaBench) passBytes() int {
	if b.device == "cuda" {
		return 2 << 30
	}
	return 256 << 20
}

func (b *cudaBench) newTokens() int {
	if b.quick {
		return 64
	}
	return 192
}
