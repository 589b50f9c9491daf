package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"so8t/configs"
	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/engine/safetensors"
)

// saveResult is what a checkpoint costs.
type saveResult struct {
	StepSeconds    float64 `json:"step_seconds"`    // median, nothing being saved
	DuringSeconds  float64 `json:"during_seconds"`  // median of the steps during which a save ran behind
	CallSeconds    float64 `json:"call_seconds"`    // median of snapshot and hand-over, for which training stands still
	SlowedSteps    float64 `json:"slowed_steps"`    // during which one save ran behind
	FeltSteps      float64 `json:"felt_steps"`      // all that a save costs the training, in steps
	DiskSeconds    float64 `json:"disk_seconds"`    // median from the snapshot until it is committed
	StateBytes     int64   `json:"state_bytes"`     // of the demo
	LargeBytes     int64   `json:"large_bytes"`     // a state of the full shape's size
	LargeCopy      float64 `json:"large_copy_s"`    // its copy in memory, for which training stands still
	LargeCommitted float64 `json:"large_committed"` // seconds until it is on disk, behind the training
}

// save is `bench save`: what the training feels of a checkpoint, at the demo's size, and
// what one of the size of Phi-3.5-mini's takes.
func save(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("save", flag.ContinueOnError)
	base := f.String("base", "demo/base", "model folder")
	dir := f.String("dir", "", "where to save; a temporary folder by default")
	steps := f.Int("steps", 150, "")
	every := f.Int("every", 10, "steps from save to save")
	large := f.Int64("bytes", 1_700_000_000, "of the large state: LoRA r = 64 on Phi-3.5-mini, with the states of a float32 AdamW")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		temp, err := os.MkdirTemp("", "bench-save-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		*dir = temp
	}
	const samples, length = 16, 64 // the demo's step
	m, err := engine.Open(ctx, engine.Options{BasePath: *base, Device: "cpu", Int8: true, Training: true, MaxTokens: samples * length, MaxLength: length, Seed: 42,
		LoRA: engine.LoRAOptions{R: 64, Alpha: 128, Dropout: 0.05, TargetModules: configs.Projections}, Gates: engine.GateOptions{Enabled: true}})
	if err != nil {
		return err
	}
	defer m.Close()
	trainer, err := engine.NewTrainer(m, randomSamples{n: *steps * samples, lengths: []int{length}, vocab: m.Config().VocabSize}, engine.TrainerOptions{
		SamplesPerStep: samples, Epochs: 1, LearningRate: 2e-4, Scheduler: "cosine", MaxGradNorm: 1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Optim: "adamw_torch", Seed: 42})
	if err != nil {
		return err
	}
	store, err := checkpoint.OpenStore(filepath.Join(*dir, "demo"), checkpoint.Identity{WorkflowID: "bench"}, checkpoint.Options{MaxCheckpoints: 3})
	if err != nil {
		return err
	}
	r, err := measureSaves(ctx, trainer, store, *steps, *every)
	if err != nil {
		return err
	}
	if err := r.saveLarge(ctx, filepath.Join(*dir, "large"), *large); err != nil {
		return err
	}
	fmt.Printf("a save of %.1f MB stops training for %.1f ms and slows %.1f steps by %.1f ms: %.2f steps of %.1f ms in all; on disk after %.0f ms, behind it\n",
		float64(r.StateBytes)/1e6, 1e3*r.CallSeconds, r.SlowedSteps, 1e3*max(0, r.DuringSeconds-r.StepSeconds), r.FeltSteps, 1e3*r.StepSeconds, 1e3*r.DiskSeconds)
	fmt.Printf("a state of %.1f GB: copied in %.2f s, on disk %.1f s later, behind the training\n", float64(r.LargeBytes)/1e9, r.LargeCopy, r.LargeCommitted)
	return printJSON(r)
}

// measureSaves takes steps and saves behind every few of them.
func measureSaves(ctx context.Context, trainer *engine.Trainer, store *checkpoint.Store, steps, every int) (r saveResult, err error) {
	var calm, during, calls, disk []float64
	var begun time.Time
	for i := 1; i <= steps; i++ {
		busy := store.Busy()
		s, err := trainer.Step(ctx)
		if err != nil {
			return r, err
		}
		switch {
		case i < 5: // warming up
		case busy:
			during = append(during, s.Duration.Seconds())
		default:
			calm = append(calm, s.Duration.Seconds())
		}
		if !begun.IsZero() && !store.Busy() {
			disk, begun = append(disk, time.Since(begun).Seconds()), time.Time{}
		}
		if i%every == 0 {
			begun = time.Now()
			state, err := trainer.Snapshot(ctx)
			if err != nil {
				return r, err
			}
			if err := store.SaveBehind(state, "interval"); err != nil {
				return r, err
			}
			calls = append(calls, time.Since(begun).Seconds())
			r.StateBytes = 0
			for _, t := range state.Tensors {
				size, err := t.Spec().Bytes()
				if err != nil {
					return r, err
				}
				r.StateBytes += size
			}
		}
	}
	if err := store.Wait(); err != nil {
		return r, err
	}
	r.StepSeconds, r.CallSeconds, r.DiskSeconds = median(calm), median(calls), median(disk)
	r.DuringSeconds = r.StepSeconds
	if len(during) > 0 {
		r.DuringSeconds = median(during)
	}
	r.SlowedSteps = float64(len(during)) / float64(max(len(calls), 1))
	r.FeltSteps = (r.CallSeconds + r.SlowedSteps*max(0, r.DuringSeconds-r.StepSeconds)) / r.StepSeconds
	return r, nil
}

func (r *saveResult) saveLarge(ctx context.Context, dir string, bytes int64) error {
	if err := roomFor(filepath.Dir(dir), 2*bytes); err != nil {
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
