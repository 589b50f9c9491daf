package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"so8t/device"
	"so8t/telemetry"
)

// cudaReport is the file of `bench cuda`, and its last line.
type cudaReport struct {
	Started        time.Time        `json:"started"`
	Seconds        float64          `json:"seconds"`
	Device         string           `json:"device"`
	ISA            string           `json:"isa"`
	Driver         string           `json:"driver,omitempty"`
	Torch          string           `json:"torch,omitempty"`
	Shape          string           `json:"shape"`
	Rank           int              `json:"rank"`
	Sequence       int              `json:"sequence"`
	SamplesPerStep int              `json:"mix_samples_per_step"`
	Lengths        []int            `json:"mix_lengths"`
	Bandwidth      *bandwidthResult `json:"bandwidth,omitempty"`
	Runs           []trainRun       `json:"runs"`
	Decode         []decodeResult   `json:"decode,omitempty"`
	Stall          *saveResult      `json:"stall,omitempty"`
	Profile        []string         `json:"profile,omitempty"`
	Skipped        []string         `json:"left_out,omitempty"`
}

// trainRun is one measurement of training.
type trainRun struct {
	Engine          string                `json:"engine"`  // so8t or PEFT
	Variant         string                `json:"variant"` // of the base's weights
	Work            string                `json:"work"`    // fixed or mix
	Recompute       bool                  `json:"gradient_checkpointing"`
	Batch           int                   `json:"batch"` // samples of full length in a packed row; PEFT: samples in a batch
	Error           string                `json:"error,omitempty"`
	TokensPerSecond float64               `json:"tokens_per_second,omitempty"`   // padding does not count
	BF16Floor       float64               `json:"share_of_bf16_floor,omitempty"` // of the speed that leastSeconds allows
	Int8Floor       float64               `json:"share_of_int8_floor,omitempty"`
	DevicePeak      uint64                `json:"peak_device_bytes,omitempty"` // held by the engine's allocator
	NVMLPeak        *uint64               `json:"peak_gpu_memory_used_bytes,omitempty"`
	PowerWatts      *float64              `json:"peak_power_watts,omitempty"`
	StepSeconds     []float64             `json:"step_seconds,omitempty"`
	LossFirst       float64               `json:"loss_first,omitempty"`
	LossLast        float64               `json:"loss_last,omitempty"`
	Memory          []telemetry.MemoryUse `json:"device_memory,omitempty"`
}

// shares holds a run on a GPU against what the arithmetic alone takes. The mix has less attention than samples of full length.
func (r *trainRun) shares(s shape, c *cudaCommand) {
	if c.Device.Kind != device.CUDA {
		return
	}
	length := c.Sequence
	if r.Work == "mix" {
		length = meanContext(c.lengths)
	}
	bf16, int8 := s.leastSeconds(length, c.Rank, r.Recompute)
	r.BF16Floor, r.Int8Floor = r.TokensPerSecond*bf16, r.TokensPerSecond*int8
}

// meanContext is the length of a token's sample, averaged over the tokens: Σn² ÷ Σn. Attention runs over half of it.
func meanContext(lengths []int) int {
	sum, squares := 0, 0
	for _, n := range lengths {
		sum, squares = sum+n, squares+n*n
	}
	return squares / max(sum, 1)
}

// mixLengths are the lengths of n short samples, as instruction data sets have them: lognormal, median 350, cut at longest.
func mixLengths(n, longest int) []int {
	const median, sigma = 350, 0.6
	r := rand.New(rand.NewPCG(1, 2))
	lengths := make([]int, n)
	for i := range lengths {
		lengths[i] = min(longest, max(16, int(median*math.Exp(sigma*r.NormFloat64()))))
	}
	return lengths
}

const tableHead = "samples  recompute  engine       batch    tokens/s   of bf16 floor  of int8 floor   device peak   NVML peak    power"

func (r trainRun) line() string {
	row := fmt.Sprintf("%-7s  %-9s  %-11s  %5d", r.Work, map[bool]string{true: "yes", false: "no"}[r.Recompute], r.Engine+" "+r.Variant, r.Batch)
	if r.Error != "" {
		return row + "  no result: " + r.Error
	}
	nvmlPeak, watts := uint64(0), 0.0
	if r.NVMLPeak != nil {
		nvmlPeak = *r.NVMLPeak
	}
	if r.PowerWatts != nil {
		watts = *r.PowerWatts
	}
	const gib = 1 << 30
	return row + fmt.Sprintf("  %10.0f  %14s %14s  %12s  %10s  %7s", r.TokensPerSecond, known("%.0f %%", 100*r.BF16Floor), known("%.0f %%", 100*r.Int8Floor),
		known("%.2f GiB", float64(r.DevicePeak)/gib), known("%.2f GiB", float64(nvmlPeak)/gib), known("%.0f W", watts))
}

// known formats a figure; zero means not measured.
func known(format string, x float64) string {
	if x == 0 {
		return "–"
	}
	return fmt.Sprintf(format, x)
}

// best is the fastest run of those that pass; nil if none gave a result.
func (c *cudaReport) best(pass func(trainRun) bool) *trainRun {
	var best *trainRun
	for i := range c.Runs {
		r := &c.Runs[i]
		if r.Error == "" && r.TokensPerSecond > 0 && pass(*r) && (best == nil || r.TokensPerSecond > best.TokensPerSecond) {
			best = r
		}
	}
	return best
}

func (c *cudaReport) measured() bool {
	return c.best(func(trainRun) bool { return true }) != nil || len(c.Decode) > 0 || c.Stall != nil
}

// summary holds the best of this engine against the best of PEFT.
func (c *cudaReport) summary() (lines []string) {
	const either = "whichever is faster"
	for _, work := range []string{"fixed", "mix"} {
		for _, which := range []string{"no recomputation", "recomputation", either} {
			within := func(engine string) *trainRun {
				return c.best(func(r trainRun) bool {
					return r.Engine == engine && r.Work == work && (which == either || r.Recompute == (which == "recomputation"))
				})
			}
			ours, theirs := within("so8t"), within("PEFT")
			if ours == nil {
				continue
			}
			line := fmt.Sprintf("%s, %s: %.0f tokens/s at batch %d", work, which, ours.TokensPerSecond, ours.Batch)
			if theirs != nil {
				line += ours.against(theirs)
			}
			lines = append(lines, line)
		}
	}
	return slices.Compact(lines)
}

func (r *trainRun) against(peer *trainRun) string {
	text := fmt.Sprintf(", %.2f × PEFT's best (%s, batch %d, %.0f)", r.TokensPerSecond/peer.TokensPerSecond, peer.Variant, peer.Batch, peer.TokensPerSecond)
	if r.DevicePeak > 0 && peer.DevicePeak > 0 {
		text += fmt.Sprintf(" with %.2f of its memory", float64(r.DevicePeak)/float64(peer.DevicePeak))
	}
	return text
}

// decodeLine holds a speed of generation against the memory's: each pass reads every weight and every sequence's cache.
func (c *cudaReport) decodeLine(r decodeResult) string {
	line := fmt.Sprintf("decode, batch %d: %.0f tokens/s, first token after %.0f ms", r.Batch, r.TokensPerSecond, 1e3*r.FirstSeconds)
	if c.Bandwidth == nil {
		return line
	}
	passes := r.TokensPerSecond / float64(r.Batch)
	return line + fmt.Sprintf("; %.0f %% of the memory's speed on int8 weights alone, %.0f %% with the cache",
		100*passes*float64(r.WeightBytes)/c.Bandwidth.BytesPerSecond, 100*passes*float64(r.WeightBytes+r.CacheBytes)/c.Bandwidth.BytesPerSecond)
}
