// Package engine is the training step and everything around it: a Phi-3 with LoRA adapters and SO(8) gates on
// an int8 base, loss, optimizer and schedule, generation and scoring, export. Arithmetic happens in package
// native; this package decides what is computed, in which order, on which numbers.
//
// A run is a function of its inputs: every random draw is keyed by seed and step, reductions run in a fixed
// order, so the same inputs give the same bits whatever the number of threads and however often it was resumed.
package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sort"

	"so8t/engine/phi3"
	"so8t/native"
)

// Options say which base model is opened, where, and what is trained on it.
type Options struct {
	BasePath              string // folder in Hugging Face layout
	Device                string // auto, cpu or cuda
	Threads               int    // of the CPU library; 0: all
	Choices               string // file of a GPU's algorithms, read and appended to, so that whoever has it computes the same bits; empty: none
	Float32               bool   // compute in float32; otherwise in bfloat16
	Int8                  bool   // hold the base's linear weights as int8 rows
	Training              bool   // room for the backward pass
	GradientCheckpointing bool   // keep less than all of a layer and compute the rest again
	Keep                  string // of a layer, with GradientCheckpointing: auto, all, attention or inputs; empty: auto
	Optim                 string // of the trainer to come, for the plan of memory; empty: not counted
	MaxTokens             int    // the most tokens of one pass
	MaxLength             int    // the longest sequence; 0: MaxTokens
	LoRA                  LoRAOptions
	Gates                 GateOptions
	Seed                  uint64
}

// Model is a base with its adapters on a device. Its methods may be called from any goroutine and run one
// after another.
type Model struct {
	options Options
	thread  *thread
	device  *native.Device
	phi     *phi3.Model
	params  *parameters
	keep    phi3.Keep
	adapted bool
	copies  snapshots
}

// Open loads a base model and attaches adapters, in their state before the first step.
func Open(ctx context.Context, o Options) (*Model, error) {
	m := &Model{options: o, thread: newThread(), adapted: true}
	if err := m.thread.do(func() error { return m.open(ctx) }); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", o.BasePath, err), m.Close())
	}
	debug.FreeOSMemory() // the mapped base and its decoding are done with
	return m, nil
}

// layOut decides what the model will hold, from its configuration alone.
func (m *Model) layOut() (err error) {
	o := &m.options
	if o.MaxLength == 0 {
		o.MaxLength = o.MaxTokens
	}
	if m.phi, err = phi3.New(o.BasePath, phi3.Options{Float32: o.Float32, Int8: o.Int8, MaxTokens: o.MaxTokens, MaxLength: o.MaxLength}); err != nil {
		return err
	}
	m.params, err = layOut(m.phi, o.LoRA, o.Gates)
	return err
}

func (m *Model) open(ctx context.Context) (err error) {
	if err := m.layOut(); err != nil {
		return err
	}
	o := m.options
	if m.device, err = native.Open(native.Options{Device: o.Device, Threads: o.Threads, Algorithms: o.Choices}); err != nil {
		return err
	}
	info, err := m.device.Info()
	if err != nil {
		return err
	}
	if isGPU(info) {
		m.spareMemory()
	}
	if m.keep, err = m.decide(info); err != nil {
		return err
	}
	if err := m.phi.Load(ctx, m.device); err != nil {
		return err
	}
	if err := m.params.attach(m.phi, o.LoRA, o.Gates); err != nil {
		return err
	}
	if err := m.phi.Prepare(o.Training, m.keep); err != nil {
		return err
	}
	return m.params.set(m.phi, m.params.initial(o.Seed))
}

// Close frees the device. A state that was snapshot and is not written yet is lost.
func (m *Model) Close() error {
	m.copies.close()
	err := m.thread.do(func() error {
		if m.device == nil {
			return nil
		}
		return m.device.Close()
	})
	if errors.Is(err, errClosed) {
		return nil
	}
	m.thread.stop()
	return err
}

// Config is the base's configuration.
func (m *Model) Config() *phi3.Config { return m.phi.Config }

// EnableAdapter says whether LoRA and gates take part in Generate, Score and Loss; off, the model is its base.
func (m *Model) EnableAdapter(on bool) {
	_ = m.thread.do(func() error { m.adapted = on; return nil })
}

// Info describes the device and what is held on it.
func (m *Model) Info() (native.Info, error) {
	var info native.Info
	err := m.thread.do(func() (err error) { info, err = m.device.Info(); return err })
	return info, err
}

// Keep says what training keeps of a layer for the backward pass: all, attention or inputs.
func (m *Model) Keep() string { return string(m.keep) }

// Memory says what the device's memory is held for, the largest peak first.
func (m *Model) Memory() ([]native.Use, error) {
	var uses []native.Use
	err := m.thread.do(func() (err error) { uses, err = m.device.Memory(); return err })
	return uses, err
}

// TrainedParameters counts the numbers that training changes.
func (m *Model) TrainedParameters() int64 {
	var n int64
	for _, p := range m.params.list {
		n += int64(p.size())
	}
	return n
}

// GateDeviation measures how far the gates are from rotations: the largest |RᵀR − I| of any block. By
// construction it is rounding alone; without gates it is 0.
func (m *Model) GateDeviation(ctx context.Context) (float64, error) {
	values := make([]float32, m.params.rotationRows*64)
	if len(values) == 0 {
		return 0, nil
	}
	err := m.run(ctx, func() error { return native.Download(m.device, values, m.params.rotations) })
	return deviation(values), err
}

// deviation is the largest |RᵀR − I| over 8×8 blocks.
func deviation(blocks []float32) float64 {
	worst := 0.0
	for ; len(blocks) > 0; blocks = blocks[64:] {
		for i := range 8 {
			for j := range 8 {
				sum := 0.0
				for k := range 8 {
					sum += float64(blocks[8*k+i]) * float64(blocks[8*k+j])
				}
				if i == j {
					sum--
				}
				worst = math.Max(worst, math.Abs(sum))
			}
		}
	}
	return worst
}

// run calls f on the device's thread; a failed native operation is returned and cleared.
func (m *Model) run(ctx context.Context, f func() error) error {
	return m.thread.do(func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		m.copies.free()
		err := f()
		if d := m.device.Err(); d != nil {
			m.device.Reset()
			return d
		}
		return err
	})
}

// BaseDigest is the SHA-256 over names and contents of what defines a base model: config.json and every
// safetensors file of the folder.
func BaseDigest(ctx context.Context, dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("base model %s: no .safetensors file", dir)
	}
	files = append(files, filepath.Join(dir, "config.json"))
	sort.Strings(files)
	total := sha256.New()
	for _, path := range files {
		sum, err := FileDigest(ctx, path)
		if err != nil {
			return "", fmt.Errorf("base model digest: %w", err)
		}
		fmt.Fprintf(total, "%s  %s\n", sum, filepath.Base(path))
	}
	return hex.EncodeToString(total.Sum(nil)), nil
}

// FileDigest is the SHA-256 of a file, in hex.
func FileDigest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	buffer := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.Read(buffer)
		h.Write(buffer[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}
