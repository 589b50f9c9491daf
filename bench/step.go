package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"so8t/dataset"
	"so8t/engine"
	"so8t/telemetry"
	"so8t/tokenizer"
)

// stepResult is what one process measured.
type stepResult struct {
	Base            string    `json:"base"`
	Device          string    `json:"device"`
	ISA             string    `json:"isa"`
	Threads         int       `json:"threads"`
	Sequence        int       `json:"sequence"`
	Recompute       bool      `json:"gradient_checkpointing"`
	Int8            bool      `json:"int8_base"`
	Gates           bool      `json:"gates"`
	Optim           string    `json:"optim"`
	TrainedNumbers  int64     `json:"trained_parameters"`
	LoadSeconds     float64   `json:"load_seconds"`
	StepSeconds     []float64 `json:"step_seconds"`
	TokensPerSecond float64   `json:"tokens_per_second"` // median step, warm-up left out
	StepTokens      []int     `json:"step_tokens"`
	LossFirst       float64   `json:"loss_first"`
	LossLast        float64   `json:"loss_last"`
	PeakRSSBytes    int64     `json:"peak_rss_bytes"`
	HeldPeakBytes   uint64    `json:"peak_device_bytes"` // what the library allocated at most

	Memory []telemetry.MemoryUse `json:"device_memory"`
}

// step is `bench step`: the same LoRA step as peft_train.py's.
func step(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("step", flag.ContinueOnError)
	base := f.String("base", "", "model folder")
	device := f.String("device", "cpu", "cpu, cuda or auto")
	threads := f.Int("threads", 0, "0: all")
	sequence := f.Int("sequence", 512, "tokens of a sample, every one a target")
	samples := f.Int("samples", 1, "samples a step")
	steps := f.Int("steps", 8, "")
	list := f.String("lengths", "", "tokens of the samples in turn, instead of -sequence, which none may exceed")
	row := f.Int("row", 0, "the most tokens of a packed row; 0: a step's samples are one row")
	seconds := f.Float64("seconds", 0, "begin no step after this time, once two have counted; 0: no limit")
	warm := f.Int("warm", 2, "first steps that the median leaves out")
	rank := f.Int("rank", 64, "of LoRA, on each of the seven projections")
	float32 := f.Bool("float32", false, "compute in float32")
	recompute := f.Bool("recompute", false, "gradient checkpointing")
	gates := f.Bool("gates", false, "SO(8) gates too")
	int8 := f.Bool("int8", true, "int8 rows for the base's weights")
	optim := f.String("optim", "adamw_torch", "")
	text := f.Bool("text", false, "tokens of Japanese text by the folder's own tokenizer, instead of random ones")
	if err := f.Parse(args); err != nil {
		return err
	}
	lengths, err := parseInts(*list)
	if err != nil {
		return fmt.Errorf("-lengths: %w", err)
	}
	if len(lengths) == 0 {
		lengths = []int{*sequence}
	}
	if *row == 0 {
		*row = *sequence * *samples
	}
	start := time.Now()
	m, err := engine.Open(ctx, engine.Options{
		BasePath: *base, Device: *device, Threads: *threads, Float32: *float32, Int8: *int8, Training: true, GradientCheckpointing: *recompute, Keep: "inputs", Optim: *optim,
		MaxTokens: *row, MaxLength: *sequence, Seed: 42,
		LoRA:  engine.LoRAOptions{R: *rank, Alpha: 2 * float64(*rank), Dropout: 0.05, TargetModules: engine.Projections},
		Gates: engine.GateOptions{Enabled: *gates},
	})
	if err != nil {
		return err
	}
	defer m.Close()
	r := stepResult{Base: *base, Sequence: *sequence, Recompute: *recompute, Int8: *int8, Gates: *gates, Optim: *optim, TrainedNumbers: m.TrainedParameters(), LoadSeconds: time.Since(start).Seconds()}
	data := randomSamples{n: *steps * *samples, lengths: lengths, vocab: m.Config().VocabSize}
	var train engine.Samples = data
	if *text {
		if train, err = textSamples(*base, data); err != nil {
			return err
		}
	}
	trainer, err := engine.NewTrainer(m, train, engine.TrainerOptions{
		SamplesPerStep: *samples, Epochs: 1, LearningRate: 2e-4, WeightDecay: 0.01, Scheduler: "cosine", MaxGradNorm: 1,
		Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Optim: *optim, Seed: 42})
	if err != nil {
		return err
	}
	begun := time.Now()
	for i := range *steps {
		if *seconds > 0 && i >= *warm+2 && time.Since(begun).Seconds() > *seconds {
			break
		}
		s, err := trainer.Step(ctx)
		if err != nil {
			return err
		}
		if i == 0 {
			r.LossFirst = s.Loss
		}
		r.LossLast = s.Loss
		r.StepSeconds, r.StepTokens = append(r.StepSeconds, s.Duration.Seconds()), append(r.StepTokens, s.Tokens)
	}
	var speeds []float64
	for i := min(*warm, *steps-1); i < len(r.StepSeconds); i++ {
		speeds = append(speeds, float64(r.StepTokens[i])/r.StepSeconds[i])
	}
	r.TokensPerSecond = median(speeds)
	uses, err := m.Memory()
	if err != nil {
		return err
	}
	r.Memory = telemetry.MemoryUses(uses)
	info, err := m.Info()
	if err != nil {
		return err
	}
	r.Device, r.ISA, r.Threads, r.HeldPeakBytes = info.Name, info.ISA, info.Threads, info.PeakBytes
	if r.PeakRSSBytes, err = peakRSS(); err != nil {
		return err
	}
	return printJSON(r)
}

// randomSamples are n samples of random tokens, drawn when asked for, with the lengths in turn.
type randomSamples struct {
	n       int
	lengths []int
	vocab   int
}

func (s randomSamples) Len() int { return s.n }

func (s randomSamples) At(i int) dataset.Sample {
	r := rand.New(rand.NewPCG(1, uint64(i)))
	ids := make([]int32, s.lengths[i%len(s.lengths)])
	for j := range ids {
		ids[j] = int32(3 + r.IntN(s.vocab-3))
	}
	return dataset.Sample{InputIDs: ids, Labels: ids}
}

// fixedSamples are samples in memory.
type fixedSamples []dataset.Sample

func (s fixedSamples) Len() int                { return len(s) }
func (s fixedSamples) At(i int) dataset.Sample { return s[i] }

// textSamples has the form of like, with the tokens of the demo's records one after another.
func textSamples(base string, like randomSamples) (fixedSamples, error) {
	t, err := tokenizer.Load(base)
	if err != nil {
		return nil, err
	}
	if t.VocabSize() > like.vocab {
		return nil, fmt.Errorf("%s: the tokenizer has %d tokens, the model %d", base, t.VocabSize(), like.vocab)
	}
	text, err := demoText()
	if err != nil {
		return nil, err
	}
	ids := t.Encode(text)
	var out fixedSamples
	next := 0
	for i := range like.n {
		sample := make([]int32, like.lengths[i%len(like.lengths)])
		for j := range sample {
			sample[j] = ids[next%len(ids)]
			next++
		}
		out = append(out, dataset.Sample{InputIDs: sample, Labels: sample})
	}
	return out, nil
}

// parseInts reads a list with commas.
func parseInts(list string) (out []int, err error) {
	if list == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no positive number", word)
		}
		out = append(out, n)
	}
	return out, nil
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// peakRSS is the most memory that this process has had resident (VmHWM), file mappings included.
func peakRSS() (int64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("%s: no VmHWM", f.Name())
}

// demoText is the Japanese text of the demo's records, instructions and answers.
func demoText() (string, error) {
	paths, err := filepath.Glob("demo/data/*.jsonl")
	if err != nil || len(paths) == 0 {
		return "", fmt.Errorf("demo/data/*.jsonl: not found from here; run from the repository's root (%v)", err)
	}
	return readRecords(paths[0])
}
