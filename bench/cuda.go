package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"so8t/device"
	"so8t/disk"
	"so8t/native/nvml"
	"so8t/telemetry"
)

// cudaCommand measures training, decoding and a checkpoint's cost on a GPU, and training in PyTorch + PEFT beside it.
type cudaCommand struct {
	Shape    string        `default:"phi35" enum:"${shapes}" help:"${enum}"`
	Device   device.Device `default:"cuda" help:"cuda, cuda:N or cpu."`
	Python   string        `env:"SO8T_PEER_PYTHON" help:"Python that has torch, transformers and peft; without one the peers are left out."`
	Work     string        `help:"Folder for the weights, 7.6 GB; by default a temporary one, in memory where /dev/shm has the space."`
	Out      string        `help:"File for all results as JSON, written anew after each."`
	Batches  []int         `help:"Samples a row, and a batch of the peers; the best counts. 1,2,4,8 by default, 1,4 with --quick."`
	Parts    []string      `default:"fixed,mix,decode,stall,profile" enum:"fixed,mix,decode,stall,profile" help:"What to measure: ${enum}"`
	Rank     int           `default:"64" help:"Of LoRA."`
	Sequence int           `default:"2048" help:"Tokens of a sample, and the most of one of the mix."`
	Steps    int           `default:"8" help:"Of each measurement, the first two left out."`
	Threads  int           `help:"Of the CPU library and of PyTorch on the CPU; 0: all."`
	Stepping time.Duration `name:"seconds" default:"8s" help:"A measurement begins no step after that, once two have counted."`
	Child    time.Duration `default:"100s" help:"The most that one process may take."`
	Limit    time.Duration `default:"9m" help:"The most that all of it may take; what is left then is left out."`
	Int8Peer bool          `name:"int8-peer" default:"true" negatable:"" help:"Also PEFT on bitsandbytes' int8, where Python has it."`
	Quick    bool          `help:"Batches 1 and 4, fewer steps, no recomputation, peers in bfloat16 only: within three minutes."`

	perStep int   // samples of an optimizer step of the mix
	lengths []int // of the mix's samples in turn, in tokens
}

func (c *cudaCommand) Validate() error {
	if slices.ContainsFunc(c.Batches, func(n int) bool { return n < 1 }) {
		return errors.New("--batches: each is at least 1")
	}
	if c.Steps < 3 {
		return errors.New("--steps: two are left out, so at least 3")
	}
	return nil
}

// settle derives what the flags leave open.
func (c *cudaCommand) settle() {
	if c.Quick {
		c.Steps, c.Stepping, c.Limit, c.Int8Peer = min(c.Steps, 5), min(c.Stepping, 4*time.Second), min(c.Limit, 4*time.Minute), false
	}
	switch {
	case len(c.Batches) > 0:
	case c.Quick:
		c.Batches = []int{1, 4}
	default:
		c.Batches = []int{1, 2, 4, 8}
	}
	c.perStep = max(16, slices.Max(c.Batches))
	c.lengths = mixLengths(8*c.perStep, c.Sequence)
}

// cudaBench is a run of the command.
type cudaBench struct {
	*cudaCommand
	ctx     context.Context
	shape   shape
	base    string            // folder of the weights
	gpu     *nvml.Device      // nil: no GPU, or no NVML
	watch   *telemetry.GPU    // nil: none; begun anew for each child
	missing map[string]string // why a module of the peers' cannot be imported; nil: not asked yet
	report  cudaReport
}

// Run prints a cudaReport.
func (c *cudaCommand) Run(ctx context.Context) error {
	c.settle()
	ctx, cancel := context.WithTimeoutCause(ctx, c.Limit, errors.New("no time left (--limit)"))
	defer cancel()
	b := &cudaBench{cudaCommand: c, ctx: ctx, shape: shapes[c.Shape]}
	b.report = cudaReport{Started: time.Now().UTC(), Shape: c.Shape, Rank: c.Rank, Sequence: c.Sequence, Lengths: c.lengths, SamplesPerStep: c.perStep}
	if c.Device.Kind == device.CUDA {
		var err error
		if b.gpu, err = nvml.Open(c.Device.Ordinal); err != nil {
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
	b.measureAll()
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

// weights writes the base. Its weights are random, since speed does not depend on them, but not zero: zeros take less power and run faster.
func (b *cudaBench) weights() (clean func(), err error) {
	parent := b.Work
	if parent == "" && needFree("/dev/shm", 12<<30) == nil {
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
	fmt.Printf("a random %s, %.1f GB in %.1f s\n", b.Shape, float64(bytes)/1e9, time.Since(b.report.Started).Seconds())
	return clean, nil
}

// measureAll begins with the headline: time may run out before the rest.
func (b *cudaBench) measureAll() {
	b.bandwidth()
	fmt.Printf("LoRA r = %d on seven projections, dropout 0.05, AdamW in float32; tokens/s\n%s\n", b.Rank, tableHead)
	for _, recompute := range []bool{false, true} {
		for _, work := range []string{"fixed", "mix"} {
			if slices.Contains(b.Parts, work) && !(b.Quick && recompute) {
				b.train(work, recompute)
			}
		}
	}
	if slices.Contains(b.Parts, "decode") {
		b.decode(1)
		b.decode(64)
	}
	if slices.Contains(b.Parts, "stall") {
		b.stall()
	}
	if slices.Contains(b.Parts, "profile") && b.Device.Kind == device.CUDA {
		b.profile()
	}
}

func (b *cudaBench) write() error {
	if b.Out == "" {
		return nil
	}
	return disk.ReplaceJSON(b.Out, b.report)
}

// skip notes what is left out, once.
func (b *cudaBench) skip(what, why string) {
	text := what + ": " + why
	if !slices.Contains(b.report.Skipped, text) {
		b.report.Skipped = append(b.report.Skipped, text)
		fmt.Println("left out: " + text)
	}
}
