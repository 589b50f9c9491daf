package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"time"

	"so8t/engine"
	"so8t/engine/phi3"
)

// decodeCommand continues random prompts greedily by exactly New tokens, with the base alone.
type decodeCommand struct {
	modelFlags
	Batch  int    `default:"1" help:"Sequences at once."`
	Prompt int    `default:"32" help:"Tokens of each prompt."`
	New    int    `default:"192" help:"Tokens to generate of each, at least 4."`
	Logits string `help:"File for the logits that follow the first prompt, float32."`
}

// decodeResult is the speed of generation, without the first tokens of each sequence.
type decodeResult struct {
	Batch           int     `json:"batch"`
	Prompt          int     `json:"prompt_tokens"`
	New             int     `json:"new_tokens"`
	TokensPerSecond float64 `json:"tokens_per_second"` // of all sequences
	WeightBytes     int64   `json:"weight_bytes"`      // that a pass reads: the linear layers, their scales, lm_head
	CacheBytes      int64   `json:"mean_cache_bytes"`  // keys and values that a pass reads
	FirstSeconds    float64 `json:"first_seconds"`     // until every sequence has its first token
	HeldPeakBytes   uint64  `json:"peak_device_bytes"`
	Overlap         bool    `json:"overlap"` // as SO8T_CUDA_OVERLAP asks
	Answers         string  `json:"answers"` // their tokens' checksum: the same with overlapping kernels as without
}

func (c *decodeCommand) Validate() error {
	if c.New <= settled {
		return fmt.Errorf("--new: at least %d", settled+1)
	}
	return nil
}

// Run prints a decodeResult.
func (c *decodeCommand) Run(ctx context.Context) error {
	m, err := engine.Open(ctx, engine.Options{BasePath: c.Base, Device: c.Device, Threads: c.Threads, Algorithms: c.Algorithms, Int8: true,
		MaxTokens: c.Prompt * c.Batch, MaxLength: c.Prompt + c.New, Seed: 42})
	if err != nil {
		return err
	}
	defer m.Close()
	if _, _, _, err := c.generate(ctx, m, 4); err != nil { // allocates workspaces and chooses algorithms
		return err
	}
	answers, first, rest, err := c.generate(ctx, m, c.New)
	if err != nil {
		return err
	}
	if c.Logits != "" {
		logits, err := m.Logits(ctx, randomPrompts(1, c.Prompt, m.Config().VocabSize))
		if err != nil {
			return err
		}
		if err := writeLogits(c.Logits, logits[0][c.Prompt-1]); err != nil {
			return err
		}
	}
	info, err := m.Info()
	if err != nil {
		return err
	}
	r := decodeResult{Batch: c.Batch, Prompt: c.Prompt, New: c.New, FirstSeconds: first.Seconds(),
		HeldPeakBytes: info.PeakBytes, Answers: answers, Overlap: os.Getenv("SO8T_CUDA_OVERLAP") == "1",
		TokensPerSecond: float64(c.Batch*(c.New-settled)) / rest.Seconds()}
	r.WeightBytes, r.CacheBytes = c.passBytes(m.Config())
	return printJSON(r)
}

// settled is the number of a sequence's tokens after which all steps are alike: the prompt's pass gives the first; the second's step is
// recorded as a CUDA graph, the third is its first replay.
const settled = 3

// generate takes first until every sequence has a token, and rest from when each has settled tokens until each has n. It
// returns the checksum of all of them.
func (c *decodeCommand) generate(ctx context.Context, m *engine.Model, n int) (answers string, first, rest time.Duration, err error) {
	prompts := randomPrompts(c.Batch, c.Prompt, m.Config().VocabSize)
	start := time.Now()
	var firsts, begun, last time.Time
	generations, err := m.Generate(ctx, prompts, engine.GenerateOptions{MaxNewTokens: n, BatchSize: c.Batch, EOS: []int32{}, Stop: func(ids []int32) bool {
		last = time.Now()
		switch len(ids) {
		case 1:
			firsts = last
		case settled:
			begun = last
		}
		return false
	}})
	sum := crc32.NewIEEE()
	for _, g := range generations {
		if err := binary.Write(sum, binary.LittleEndian, g.Tokens); err != nil {
			return "", 0, 0, err
		}
	}
	return fmt.Sprintf("%08x", sum.Sum32()), firsts.Sub(start), last.Sub(begun), err
}

// passBytes are what one pass over the batch reads, the cache at its mean length.
func (c *decodeCommand) passBytes(p *phi3.Config) (weights, cache int64) {
	h, kv, i, layers := int64(p.HiddenSize), int64(p.KVSize()), int64(p.IntermediateSize), int64(p.NumHiddenLayers)
	rows := int64(p.QKVSize()) + h + 2*i
	weights = layers*(rows*h+h*i+4*(rows+h)) + 2*int64(p.VocabSize)*h
	cache = int64(c.Batch) * int64(c.Prompt+c.New/2) * 2 * kv * 2 * layers
	return weights, cache
}
