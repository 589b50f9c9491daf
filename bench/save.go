package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"so8t/device"
	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/engine/safetensors"
)

// saveCommand measures what a checkpoint costs the training at the demo's size, and how long one of Phi-3.5-mini's size takes.
type saveCommand struct {
	Base  string `default:"demo/base" help:"Model folder."`
	Dir   string `help:"Where to save; a temporary folder by default."`
	Steps int    `default:"150"`
	Every int    `default:"10" help:"Steps from save to save."`
	Bytes int64  `default:"1700000000" help:"Of the large state: LoRA r = 64 on Phi-3.5-mini, with the states of a float32 AdamW."`
}

// saveResult is the cost of a checkpoint.
type saveResult struct {
	StepSeconds    float64 `json:"step_seconds"`    // median of the steps without a save
	DuringSeconds  float64 `json:"during_seconds"`  // median of the steps beside a save
	CallSeconds    float64 `json:"call_seconds"`    // median of snapshot and hand-over, for which training stops
	SlowedSteps    float64 `json:"slowed_steps"`    // beside one save
	FeltSteps      float64 `json:"felt_steps"`      // the whole cost of a save, in steps
	DiskSeconds    float64 `json:"disk_seconds"`    // median from the snapshot to the commit
	StateBytes     int64   `json:"state_bytes"`     // of the trained model
	LargeBytes     int64   `json:"large_bytes"`     // of the large state
	LargeCopy      float64 `json:"large_copy_s"`    // its copy in memory, for which training stops
	LargeCommitted float64 `json:"large_committed"` // seconds from the copy to the commit, behind the training
}

// Run prints a saveResult.
func (c *saveCommand) Run(ctx context.Context) error {
	dir, clean, err := saveFolder(c.Dir)
	if err != nil {
		return err
	}
	defer clean()
	const samples, length = 16, 64 // the demo's step
	run := training{modelFlags: modelFlags{Base: c.Base, Device: device.Device{Kind: device.CPU}}, rank: 64, length: length,
		row: samples * length, samples: samples, optim: "adamw_torch", int8: true, gates: true}
	r, err := run.measureSaves(ctx, filepath.Join(dir, "demo"), checkpoint.Options{MaxCheckpoints: 3}, c.Steps, c.Every)
	if err != nil {
		return err
	}
	if err := r.saveLarge(ctx, filepath.Join(dir, "large"), c.Bytes); err != nil {
		return err
	}
	fmt.Printf("a save of %.1f MB stops training for %.1f ms and slows %.1f steps by %.1f ms: %.2f steps of %.1f ms in all; on disk after %.0f ms\n",
		float64(r.StateBytes)/1e6, 1e3*r.CallSeconds, r.SlowedSteps, 1e3*max(0, r.DuringSeconds-r.StepSeconds), r.FeltSteps,
		1e3*r.StepSeconds, 1e3*r.DiskSeconds)
	fmt.Printf("a state of %.1f GB: copied in %.2f s, on disk %.1f s later, behind the training\n", float64(r.LargeBytes)/1e9, r.LargeCopy, r.LargeCommitted)
	return printJSON(r)
}

// saveFolder is dir, or a temporary folder that clean removes.
func saveFolder(dir string) (path string, clean func(), err error) {
	if dir != "" {
		return dir, func() {}, nil
	}
	temp, err := os.MkdirTemp("", "bench-save-")
	return temp, func() { _ = os.RemoveAll(temp) }, err
}

// measureSaves trains, and saves into dir behind the training every few steps.
func (t training) measureSaves(ctx context.Context, dir string, o checkpoint.Options, steps, every int) (r saveResult, err error) {
	m, err := t.open(ctx)
	if err != nil {
		return r, err
	}
	defer m.Close()
	trainer, err := t.trainer(m, randomSamples{n: steps * t.samples, lengths: []int{t.length}, vocab: m.Config().VocabSize})
	if err != nil {
		return r, err
	}
	store, err := checkpoint.OpenStore(dir, checkpoint.Identity{WorkflowID: "bench"}, o)
	if err != nil {
		return r, err
	}
	s := saves{trainer: trainer, store: store}
	for i := 1; i <= steps; i++ {
		if err := s.step(ctx, i); err != nil {
			return r, err
		}
		if i%every != 0 {
			continue
		}
		if err := s.save(ctx); err != nil {
			return r, err
		}
	}
	if err := store.Wait(); err != nil {
		return r, err
	}
	return s.result(), nil
}

// saves are the times of a training's steps and checkpoints.
type saves struct {
	trainer *engine.Trainer
	store   *checkpoint.Store
	begun   time.Time // of the save on its way to disk; zero: none
	bytes   int64     // of the last state

	calm, during, calls, disk []float64 // seconds
}

// step takes step i, counted from 1.
func (s *saves) step(ctx context.Context, i int) error {
	const warm = 4
	busy := s.store.Busy()
	step, err := s.trainer.Step(ctx)
	if err != nil {
		return err
	}
	switch {
	case i <= warm:
	case busy:
		s.during = append(s.during, step.Duration.Seconds())
	default:
		s.calm = append(s.calm, step.Duration.Seconds())
	}
	if !s.begun.IsZero() && !s.store.Busy() {
		s.disk, s.begun = append(s.disk, time.Since(s.begun).Seconds()), time.Time{}
	}
	return nil
}

// save hands a snapshot to the store.
func (s *saves) save(ctx context.Context) error {
	s.begun = time.Now()
	state, err := s.trainer.Snapshot(ctx)
	if err != nil {
		return err
	}
	if err := s.store.SaveBehind(state, "interval"); err != nil {
		return err
	}
	s.calls = append(s.calls, time.Since(s.begun).Seconds())
	s.bytes = 0
	for _, t := range state.Tensors {
		size, err := t.Spec().Bytes()
		if err != nil {
			return err
		}
		s.bytes += size
	}
	return nil
}

func (s *saves) result() saveResult {
	r := saveResult{StateBytes: s.bytes, StepSeconds: median(s.calm), CallSeconds: median(s.calls), DiskSeconds: median(s.disk)}
	r.DuringSeconds = r.StepSeconds
	if len(s.during) > 0 {
		r.DuringSeconds = median(s.during)
	}
	r.SlowedSteps = float64(len(s.during)) / float64(max(len(s.calls), 1))
	r.FeltSteps = (r.CallSeconds + r.SlowedSteps*max(0, r.DuringSeconds-r.StepSeconds)) / r.StepSeconds
	return r
}

// saveLarge saves a random state of that many bytes.
func (r *saveResult) saveLarge(ctx context.Context, dir string, bytes int64) error {
	if err := needFree(filepath.Dir(dir), 2*bytes); err != nil {
		return err
	}
	from := make([]byte, bytes)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(from)
	store, err := checkpoint.OpenStore(dir, checkpoint.Identity{WorkflowID: "bench"}, checkpoint.Options{MaxCheckpoints: 1})
	if err != nil {
		return err
	}
	start := time.Now()
	data := append([]byte(nil), from...)
	r.LargeBytes, r.LargeCopy = bytes, time.Since(start).Seconds()
	state := &checkpoint.State{Position: checkpoint.Position{Epoch: 1, Step: 1}, Tensors: []safetensors.Named{
		{Name: "param", Tensor: safetensors.Tensor{DType: safetensors.F32, Shape: []int64{bytes / 4}, Data: data[:bytes/4*4]}}}}
	start = time.Now()
	if _, err := store.Save(ctx, state, "bench"); err != nil {
		return err
	}
	r.LargeCommitted = time.Since(start).Seconds()
	return nil
}
