// Package engine is the training step and everything around it: a Phi-3 with LoRA adapters and SO(8) gates on
// an int8 base, loss, optimizer and schedule, generation, scoring and merging. Arithmetic happens in package
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
	"os"
	"path/filepath"
	"runtime/debug"
	"sort"

	"so8t/configs"
	"so8t/device"
	"so8t/engine/phi3"
	"so8t/native"
)

// Options say which base model is opened, where, and what is trained on it.
type Options struct {
	BasePath              string // folder in Hugging Face layout
	Device                device.Device
	Threads               int            // of the CPU library; 0: all
	Algorithms            string         // file of the GPU algorithms chosen, read and appended to: runs that share it compute the same bits; empty: none
	Float32               bool           // compute in float32; otherwise in bfloat16
	Int8                  bool           // hold the base's linear weights as int8 rows
	Training              bool           // allocate what the backward pass needs
	GradientCheckpointing bool           // save less than all of a layer and recompute the rest
	Saved                 string         // of a layer, with GradientCheckpointing: one of configs.SavedActivations; empty: auto
	KeepExpanded          configs.Switch // hold, for training, the int8 weights in the compute type as well; empty: auto
	Optim                 string         // of the trainer to come, for the plan of memory; empty: not counted
	MaxTokens             int            // the most tokens of one pass
	MaxLength             int            // the longest sequence; 0: MaxTokens
	LoRA                  LoRAOptions
	Gates                 GateOptions
	Seed                  uint64
}

// openDevice opens the device that the options name.
func (o Options) openDevice() (*native.Device, error) {
	return native.Open(native.Options{Device: o.Device, Threads: o.Threads, Algorithms: o.Algorithms})
}

// Model is a base with its adapters on a device. Its methods may be called from any goroutine and run one
// after another.
type Model struct {
	options Options
	thread  *thread
	device  *native.Device
	phi     *phi3.Model
	params  *parameters
	layout  layout
	adapted bool
	copies  snapshots
}

// Open loads a base model and attaches adapters, in their state before the first step.
func Open(ctx context.Context, o Options) (*Model, error) {
	m := &Model{options: o, thread: newThread(), adapted: true}
	if err := m.thread.do(func() error { return m.open(ctx) }); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", o.BasePath, err), m.Close())
	}
	debug.FreeOSMemory() // what loading used
	return m, nil
}

// layOut plans model and adapters from the configuration alone.
func (m *Model) layOut() (err error) {
	o := &m.options
	if o.MaxLength == 0 {
		o.MaxLength = o.MaxTokens
	}
	if m.phi, err = phi3.New(o.BasePath, phi3.Options{Float32: o.Float32, Int8: o.Int8, MaxTokens: o.MaxTokens, MaxLength: o.MaxLength}); err != nil {
		return err
	}
	plan, err := PlanAdapter(m.phi.Config, o.LoRA, o.Gates)
	if err != nil {
		return err
	}
	m.params = newParameters(m.phi, plan)
	return nil
}

func (m *Model) open(ctx context.Context) (err error) {
	if err := m.layOut(); err != nil {
		return err
	}
	if m.device, err = m.options.openDevice(); err != nil {
		return err
	}
	info, err := m.device.Info()
	if err != nil {
		return err
	}
	if isGPU(info) {
		m.phi.EmbedFromHost()
	}
	if cuDNN(info) {
		m.phi.WithCuDNN()
	}
	if _, err = m.decide(isGPU(info), int64(info.FreeBytes)); err != nil {
		return err
	}
	return m.load(ctx)
}

// load fills the device according to the layout.
func (m *Model) load(ctx context.Context) error {
	if err := m.phi.Load(ctx, m.device); err != nil {
		return err
	}
	if err := m.params.attach(m.phi); err != nil {
		return err
	}
	if err := m.phi.Prepare(m.options.Training, m.layout.saved); err != nil {
		return err
	}
	return m.params.set(m.phi, m.params.initial(m.options.Seed))
}

// Close frees the device. A snapshot that is not written yet is lost.
func (m *Model) Close() error {
	m.copies.close()
	return m.thread.close(m.device)
}

// Config is the base's configuration.
func (m *Model) Config() *phi3.Config { return m.phi.Config }

// EnableAdapter switches LoRA and gates on or off in Generate, Score, Loss and Logits. Without them the model is its base.
func (m *Model) EnableAdapter(on bool) {
	_ = m.thread.do(func() error { m.adapted = on; return nil })
}

// Info describes the device and what is held on it.
func (m *Model) Info() (native.Info, error) {
	var info native.Info
	err := m.thread.do(func() (err error) { info, err = m.device.Info(); return err })
	return info, err
}

// Saved is what training saves of a layer for the backward pass: all, attention or inputs.
func (m *Model) Saved() string { return string(m.layout.saved) }

// Expanded reports whether training keeps the int8 weights in the compute type as well.
func (m *Model) Expanded() bool { return m.layout.form == inExpanded }

// Memory lists the device's memory by purpose, the largest peak first.
func (m *Model) Memory() ([]native.Use, error) {
	var uses []native.Use
	err := m.thread.do(func() (err error) { uses, err = m.device.Memory(); return err })
	return uses, err
}

// Adapter is the plan of what is trained on the model.
func (m *Model) Adapter() *AdapterPlan { return m.params.AdapterPlan }

// Parameters copies all trained numbers to the host, [Adapter().N].
func (m *Model) Parameters(ctx context.Context) ([]float32, error) {
	values := make([]float32, m.params.N)
	err := m.run(ctx, func() error {
		if len(values) == 0 {
			return nil
		}
		return native.Download(m.device, values, m.params.param)
	})
	return values, err
}

// SetParameters replaces all trained numbers, [Adapter().N].
func (m *Model) SetParameters(ctx context.Context, values []float32) error {
	if len(values) != m.params.N {
		return fmt.Errorf("%d trained numbers for a model of %d", len(values), m.params.N)
	}
	return m.run(ctx, func() error { return m.params.set(m.phi, values) })
}

// run calls f on the device's thread; a failed native operation is returned and cleared.
func (m *Model) run(ctx context.Context, f func() error) error {
	return m.thread.do(func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		m.copies.free()
		return settle(m.device, f())
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
