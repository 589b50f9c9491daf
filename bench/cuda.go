package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"so8t/disk"
	"so8t/native/nvml"
)

// cudaFlags say what `bench cuda` measures.
type cudaFlags struct {
	shape, device, python, work, out string
	batches, lengths                 []int
	parts                            []string
	rank, sequence, steps, threads   int
	perStep                          int // samples of an optimizer step of the mix
	stepping, child, limit           time.Duration
	quick, int8Peer                  bool
}

var cudaParts = []string{"fixed", "mix", "decode", "stall", "profile"}

func parseCuda(args []string) (c cudaFlags, err error) {
	f := flag.NewFlagSet("cuda", flag.ContinueOnError)
	f.StringVar(&c.shape, "shape", "phi35", "tiny, 100m or phi35")
	f.StringVar(&c.device, "device", "cuda", "cuda or cpu")
	f.StringVar(&c.python, "python", os.Getenv("SO8T_PEER_PYTHON"), "Python that has torch, transformers and peft; without one the peers are left out")
	f.StringVar(&c.work, "work", "", "folder for the weights, 7.6 GB; empty: a temporary one, in memory where /dev/shm has room")
	f.StringVar(&c.out, "out", "", "file for all results as JSON, written anew after each")
	batches := f.String("batches", "1,2,4,8", "samples a row, and a batch of the peers; the best counts")
	parts := f.String("parts", strings.Join(cudaParts, ","), "what to measure")
	f.IntVar(&c.rank, "rank", 64, "of LoRA")
	f.IntVar(&c.sequence, "sequence", 2048, "tokens of a sample, and the most of one of the mix")
	f.IntVar(&c.steps, "steps", 8, "of each measurement, the first two left out")
	f.IntVar(&c.threads, "threads", 0, "of the CPU library and of PyTorch on the CPU; 0: all")
	f.DurationVar(&c.stepping, "seconds", 8*time.Second, "a measurement begins no step after that, once two have counted")
	f.DurationVar(&c.child, "child", 100*time.Second, "the most that one process may take")
	f.DurationVar(&c.limit, "limit", 9*time.Minute, "the most that all of it may take; what is left then is left out")
	f.BoolVar(&c.int8Peer, "int8-peer", true, "also PEFT on bitsandbytes' int8, where Python has it")
	f.BoolVar(&c.quick, "quick", false, "batches 1 and 4, fewer steps, no recomputation, peers in bfloat16 only: within three minutes")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if c.quick {
		c.steps, c.stepping, c.limit, c.int8Peer = min(c.steps, 5), min(c.stepping, 4*time.Second), min(c.limit, 4*time.Minute), false
		if *batches == "1,2,4,8" {
			*batches = "1,4"
		}
	}
	if c.batches, err = parseInts(*batches); err != nil {
		return c, fmt.Errorf("-batches: %w", err)
	}
	if len(c.batches) == 0 {
		return c, errors.New("-batches: none")
	}
	for part := range strings.SplitSeq(*parts, ",") {
		if !slices.Contains(cudaParts, part) {
			return c, fmt.Errorf("-parts: %q is not one of %v", part, cudaParts)
		}
		c.parts = append(c.parts, part)
	}
	if c.steps < 3 {
		return c, errors.New("-steps: two are left out, so at least 3")
	}
	c.perStep = max(16, slices.Max(c.batches))
	c.lengths = mixLengths(8*c.perStep, c.sequence)
	_, err = shapeNamed(c.shape)
	return c, err
}

// cudaBench is one run of it.
type cudaBench struct {
	cudaFlags
	ctx    context.Context
	shape  shape
	base   string
	gpu    *nvml.Device // nil: none, or nobody tells
	watch  *watch       // of the child at work
	report cudaReport
}

// cuda is `bench cuda`.
func cuda(ctx context.Context, args []string) (err error) {
	flags, err := parseCuda(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, flags.limit, errors.New("no time left (-limit)"))
	defer cancel()
	b := &cudaBench{cudaFlags: flags, ctx: ctx}
	b.shape, _ = shapeNamed(flags.shape)
	if flags.device == "cuda" {
		if b.gpu, err = nvml.Open(0); err != nil {
			b.skip("NVML's figures", err.Error())
		} else {
			defer b.gpu.Close()
			b.report.Driver = b.gpu.Driver
		}
	}
	clean, err := b.weights()
	if err != nil {
		return err
	}
	defer clean()
	b.run()
	b.report.Seconds = time.Since(b.report.Started).Seconds()
	for _, line := range b.report.summary() {
		fmt.Println(line)
	}
	if err := b.write(); err != nil {
		return err
	}
	if !b.report.measured() {
		return errors.New("cuda: nothing could be measured")
	}
	return printJSON(b.report)
}

// weights writes the base: random, for the speed does not depend on them; not zeros, which take less power and run faster.
func (b *cudaBench) weights() (clean func(), err error) {
	b.report = cudaReport{Started: time.Now().UTC(), Shape: b.cudaFlags.shape, Rank: b.rank, Sequence: b.sequence, Lengths: b.lengths, SamplesPerStep: b.perStep,
		Driver: b.report.Driver, Skipped: b.report.Skipped}
	parent := b.work
	if parent == "" && roomFor("/dev/shm", 12<<30) == nil {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "so8t-bench-cuda-")
	if err != nil {
		return nil, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	b.base = filepath.Join(dir, "base")
	bytes, err := writeModel(b.ctx, b.base, b.shape, "", 1)
	if err != nil {
		clean()
		return nil, err
	}
	fmt.Printf("a random %s, %.1f GB in %.1f s\n", b.cudaFlags.shape, float64(bytes)/1e9, time.Since(b.report.Started).Seconds())
	return clean, nil
}

// run measures the headline first: what comes late may find no time.
func (b *cudaBench) run() {
	var memory bandwidthResult
	if b.self(&memory, "bandwidth", "-device", b.device, "-bytes", strconv.Itoa(b.passBytes())) {
		b.report.Device, b.report.ISA, b.report.Bandwidth = memory.Device, memory.ISA, &memory
		fmt.Printf("%s (%s): memory %.0f GB/s\n", memory.Device, memory.ISA, memory.BytesPerSecond/1e9)
	}
	fmt.Printf("LoRA r = %d on seven projections, dropout 0.05, AdamW in float32; tokens/s\n%s\n", b.rank, tableHead)
	for _, recompute := range []bool{false, true} {
		for _, work := range []string{"fixed", "mix"} {
			if slices.Contains(b.parts, work) && !(b.quick && recompute) {
				b.train(work, recompute)
			}
		}
	}
	if slices.Contains(b.parts, "decode") {
		for _, batch := range []int{1, 64} {
			var r decodeResult
			if b.self(&r, "decode", "-base", b.base, "-device", b.device, "-threads", strconv.Itoa(b.threads), "-batch", strconv.Itoa(batch), "-new", strconv.Itoa(b.newTokens())) {
				b.report.Decode = append(b.report.Decode, r)
				fmt.Println(b.report.decodeLine(r))
			}
		}
	}
	if slices.Contains(b.parts, "stall") {
		var r saveResult
		steps := 20
		if b.quick {
			steps = 12
		}
		if b.self(&r, "stall", "-base", b.base, "-device", b.device, "-threads", strconv.Itoa(b.threads), "-rank", strconv.Itoa(b.rank), "-sequence", strconv.Itoa(b.sequence),
			"-steps", strconv.Itoa(steps), "-every", "6", "-dir", filepath.Dir(b.base)) {
			b.report.Stall = &r
			fmt.Printf("a checkpoint of %.2f GB stops training for %.1f ms, of steps of %.0f ms; %.1f steps beside it take %.0f ms; committed after %.1f s\n",
				float64(r.StateBytes)/1e9, 1e3*r.CallSeconds, 1e3*r.StepSeconds, r.SlowedSteps, 1e3*r.DuringSeconds, r.DiskSeconds)
		}
	}
	if slices.Contains(b.parts, "profile") && b.device == "cuda" {
		b.profile()
	}
}

// train measures one cell: this engine with each batch, then each peer.
func (b *cudaBench) train(work string, recompute bool) {
	n := strconv.Itoa
	list := make([]string, len(b.lengths))
	for i, l := range b.lengths {
		list[i] = n(l)
	}
	for _, batch := range b.batches {
		r := trainRun{Engine: "so8t", Variant: "int8", Work: work, Recompute: recompute, Batch: batch}
		args := b.stepArgs(batch, work)
		args = append(args, "-recompute="+strconv.FormatBool(recompute))
		var s stepResult
		if b.measure(&r, func(line []byte) error { return json.Unmarshal(line, &s) }, own, args...) {
			r.TokensPerSecond, r.StepSeconds, r.DevicePeak, r.LossFirst, r.LossLast, r.Memory = s.TokensPerSecond, s.StepSeconds, s.HeldPeakBytes, s.LossFirst, s.LossLast, s.Memory
		}
		b.add(r)
	}
	peers := []trainRun{{Variant: "bf16"}, {Variant: "int8"}}
	if !b.int8Peer {
		peers = peers[:1]
	}
	for _, peer := range peers {
		if reason := b.missing(peer.Variant); reason != "" {
			b.skip("PEFT "+peer.Variant, reason)
			continue
		}
		peer.Engine, peer.Work, peer.Recompute = "PEFT", work, recompute
		batches := make([]string, len(b.batches))
		for i, batch := range b.batches {
			batches[i] = n(batch)
		}
		args := []string{"bench/peft_train.py", "--shape", b.cudaFlags.shape, "--device", b.device, "--dtype", "bfloat16", "--sequence", n(b.sequence), "--rank", n(b.rank),
			"--steps", n(b.steps), "--seconds", fmt.Sprint(b.stepping.Seconds()), "--batches", strings.Join(batches, ","), "--threads", n(b.peerThreads())}
		if work == "mix" {
			args = append(args, "--lengths", strings.Join(list, ","), "--samples", n(b.perStep))
		}
		if recompute {
			args = append(args, "--recompute")
		}
		if peer.Variant == "int8" {
			args = append(args, "--base", "int8")
		}
		b.measure(&peer, func(line []byte) error {
			r := peer // one process, a line for each batch
			r.NVMLPeak, r.PowerWatts = b.watch.since()
			var p peftLine
			if err := json.Unmarshal(line, &p); err != nil {
				return err
			}
			r.Batch, r.Error, r.TokensPerSecond, r.StepSeconds, r.LossFirst, r.LossLast = p.Batch, p.Error, p.TokensPerSecond, p.StepSeconds, p.LossFirst, p.LossLast
			if b.device == "cuda" {
				r.DevicePeak = uint64(p.PeakBytes)
			}
			b.report.Torch = cmp.Or(p.Torch, b.report.Torch)
			b.add(r)
			return nil
		}, b.python, args...)
		if peer.Error != "" {
			b.add(peer)
		}
	}
}

// stepArgs is `bench step` with batch samples a row: one row a step, or the mix of short samples packed into rows of the same size.
func (b *cudaBench) stepArgs(batch int, work string) []string {
	n := strconv.Itoa
	args := []string{"step", "-base", b.base, "-device", b.device, "-threads", n(b.threads), "-sequence", n(b.sequence), "-rank", n(b.rank),
		"-steps", n(b.steps), "-seconds", fmt.Sprint(b.stepping.Seconds()), "-row", n(batch * b.sequence)}
	if work == "fixed" {
		return append(args, "-samples", n(batch))
	}
	list := make([]string, len(b.lengths))
	for i, l := range b.lengths {
		list[i] = n(l)
	}
	return append(args, "-samples", n(b.perStep), "-lengths", strings.Join(list, ","))
}

func (b *cudaBench) add(r trainRun) {
	r.shares(b.shape, b.cudaFlags)
	b.report.Runs = append(b.report.Runs, r)
	fmt.Println(r.line())
	if err := b.write(); err != nil {
		b.skip("the file of results", err.Error())
	}
}

func (b *cudaBench) write() error {
	if b.out == "" {
		return nil
	}
	return disk.ReplaceJSON(b.out, b.report)
}

func (b *cudaBench) skip(what, why string) {
	text := what + ": " + why
	if !slices.Contains(b.report.Skipped, text) {
		b.report.Skipped = append(b.report.Skipped, text)
		fmt.Println("left out: " + text)
	}
}
