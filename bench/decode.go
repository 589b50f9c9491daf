package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"so8t/configs"
	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/native"
)

// decodeResult is the speed of generation, the first token of each sequence left out.
type decodeResult struct {
	Batch           int     `json:"batch"`
	Prompt          int     `json:"prompt_tokens"`
	New             int     `json:"new_tokens"`
	TokensPerSecond float64 `json:"tokens_per_second"` // of all sequences
	WeightBytes     int64   `json:"weight_bytes"`      // that a pass reads: the linear layers, their scales, lm_head
	CacheBytes      int64   `json:"mean_cache_bytes"`  // keys and values that a pass reads
	FirstSeconds    float64 `json:"first_seconds"`     // until every sequence has its first token
	HeldPeakBytes   uint64  `json:"peak_device_bytes"`
}

// decode is `bench decode`: greedy continuation of random prompts by exactly -new tokens, with the base alone.
func decode(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("decode", flag.ContinueOnError)
	base := f.String("base", "", "model folder")
	device := f.String("device", "cpu", "cpu, cuda or auto")
	threads := f.Int("threads", 0, "0: all")
	batch := f.Int("batch", 1, "sequences at once")
	prompt := f.Int("prompt", 32, "tokens of each prompt")
	fresh := f.Int("new", 128, "tokens to generate, at least 2")
	if err := f.Parse(args); err != nil {
		return err
	}
	m, err := engine.Open(ctx, engine.Options{BasePath: *base, Device: *device, Threads: *threads, Int8: true,
		MaxTokens: *prompt * *batch, MaxLength: *prompt + *fresh, Seed: 42})
	if err != nil {
		return err
	}
	defer m.Close()
	c := m.Config()
	samples := randomSamples{n: *batch, lengths: []int{*prompt}, vocab: c.VocabSize}
	prompts := make([][]int32, *batch)
	for i := range prompts {
		prompts[i] = samples.At(i).InputIDs
	}
	generate := func(n int) (first, rest time.Duration, err error) {
		start := time.Now()
		var firsts, last time.Time
		_, err = m.Generate(ctx, prompts, engine.GenerateOptions{MaxNewTokens: n, BatchSize: *batch, EOS: []int32{}, Stop: func(ids []int32) bool {
			last = time.Now()
			if len(ids) == 1 {
				firsts = last
			}
			return false
		}})
		return firsts.Sub(start), last.Sub(firsts), err
	}
	if _, _, err := generate(4); err != nil { // workspaces, choices of algorithms
		return err
	}
	first, rest, err := generate(*fresh)
	if err != nil {
		return err
	}
	info, err := m.Info()
	if err != nil {
		return err
	}
	r := decodeResult{Batch: *batch, Prompt: *prompt, New: *fresh, FirstSeconds: first.Seconds(), HeldPeakBytes: info.PeakBytes,
		TokensPerSecond: float64(*batch*(*fresh-1)) / rest.Seconds()}
	h, kv, i := int64(c.HiddenSize), int64(c.KVSize()), int64(c.IntermediateSize)
	rows := int64(c.QKVSize()) + h + 2*i
	r.WeightBytes = int64(c.NumHiddenLayers)*(rows*h+h*i+4*(rows+h)) + 2*int64(c.VocabSize)*h
	meanLength := int64(*prompt + *fresh/2)
	r.CacheBytes = int64(*batch) * meanLength * 2 * kv * 2 * int64(c.NumHiddenLayers)
	return printJSON(r)
}

// bandwidthResult is what the memory moved at best, bytes read and written.
type bandwidthResult struct {
	BytesPerSecond float64 `json:"bytes_per_second"`
	ReadPerSecond  float64 `json:"bytes_read_per_second"` // by a pass that writes half of what it reads
	Bytes          int64   `json:"bytes"`
	Device         string  `json:"device"`
	ISA            string  `json:"isa"`
}

// bandwidth is `bench bandwidth`: the best of several passes of so8t_cast over a large matrix.
func bandwidth(_ context.Context, args []string) error {
	f := flag.NewFlagSet("bandwidth", flag.ContinueOnError)
	device := f.String("device", "cpu", "cpu, cuda or auto")
	threads := f.Int("threads", 0, "0: all")
	bytes := f.Int64("bytes", 1<<30, "of the matrix that is read; far more than any cache")
	if err := f.Parse(args); err != nil {
		return err
	}
	d, err := native.Open(native.Options{Device: *device, Threads: *threads})
	if err != nil {
		return err
	}
	defer d.Close()
	const columns = 4096
	rows := *bytes / 4 / columns
	from, err := d.Alloc(rows*columns*4, "bandwidth")
	if err != nil {
		return err
	}
	to, err := d.Alloc(rows*columns*4, "bandwidth")
	if err != nil {
		return err
	}
	pass := func(x, y native.DType) (float64, error) { // bytes a second
		const times = 5
		best := 0.0
		for range 3 {
			if err := d.Synchronize(); err != nil {
				return 0, err
			}
			start := time.Now()
			for range times {
				d.Cast(&native.Cast{Rows: rows, Columns: columns, X: from.Tensor(x, 0, columns), Y: to.Tensor(y, 0, columns)})
			}
			if err := d.Synchronize(); err != nil {
				return 0, err
			}
			moved := float64(times * rows * columns * int64(x.Size()+y.Size()))
			best = max(best, moved/time.Since(start).Seconds())
		}
		return best, nil
	}
	copied, err := pass(native.Float32, native.Float32)
	if err != nil {
		return err
	}
	cast, err := pass(native.Float32, native.BFloat16)
	if err != nil {
		return err
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	return printJSON(bandwidthResult{BytesPerSecond: max(copied, cast), ReadPerSecond: cast * 2 / 3, Bytes: rows * columns * 4, Device: info.Name, ISA: info.ISA})
}

// stall is `bench stall`: LoRA r = 64 with a float32 AdamW is saved behind the training.
func stall(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("stall", flag.ContinueOnError)
	base := f.String("base", "", "model folder")
	device := f.String("device", "cpu", "cpu, cuda or auto")
	threads := f.Int("threads", 0, "0: all")
	rank := f.Int("rank", 64, "of LoRA")
	sequence := f.Int("sequence", 2048, "tokens of a step")
	steps := f.Int("steps", 20, "")
	every := f.Int("every", 8, "steps from save to save")
	dir := f.String("dir", "", "where to save; a temporary folder by default")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		temp, err := os.MkdirTemp("", "bench-stall-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		*dir = temp
	}
	m, err := engine.Open(ctx, engine.Options{BasePath: *base, Device: *device, Threads: *threads, Int8: true, Training: true, MaxTokens: *sequence, MaxLength: *sequence, Seed: 42,
		LoRA: engine.LoRAOptions{R: *rank, Alpha: 2 * float64(*rank), Dropout: 0.05, TargetModules: configs.Projections}})
	if err != nil {
		return err
	}
	defer m.Close()
	trainer, err := engine.NewTrainer(m, randomSamples{n: *steps, lengths: []int{*sequence}, vocab: m.Config().VocabSize}, engine.TrainerOptions{
		SamplesPerStep: 1, Epochs: 1, LearningRate: 2e-4, Scheduler: "cosine", MaxGradNorm: 1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Optim: "adamw_torch", Seed: 42})
	if err != nil {
		return err
	}
	store, err := checkpoint.OpenStore(filepath.Join(*dir, "stall"), checkpoint.Identity{WorkflowID: "bench"}, checkpoint.Options{MaxCheckpoints: 1})
	if err != nil {
		return err
	}
	r, err := measureSaves(ctx, trainer, store, *steps, *every)
	if err != nil {
		return fmt.Errorf("stall: %w", err)
	}
	return printJSON(r)
}
