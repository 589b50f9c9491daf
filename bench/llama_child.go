package main

import (
	"context"
	"fmt"
	"time"
)

// llamaDecodeCommand is decodeCommand by llama.cpp.
type llamaDecodeCommand struct {
	Libraries string `required:"" help:"Folder of libllama and libggml."`
	Model     string `required:"" help:"GGUF file."`
	Vocab     int    `required:"" help:"Tokens of the model."`
	Threads   int    `required:""`
	Batch     int    `default:"1" help:"Sequences at once."`
	Prompt    int    `default:"32" help:"Tokens of each prompt."`
	New       int    `default:"128" help:"Tokens to generate, at least 2."`
	Logits    string `help:"File for the logits that follow the first prompt, float32."`
}

// llamaDecodeResult is the speed of generation, without the first token of each sequence.
type llamaDecodeResult struct {
	TokensPerSecond float64 `json:"tokens_per_second"` // of all sequences
	FirstSeconds    float64 `json:"first_seconds"`     // until every sequence has its first token
	Backend         string  `json:"backend"`           // the library of the CPU's instruction sets
	System          string  `json:"system"`
}

// llamaSequences are the sequences of one run.
type llamaSequences struct {
	*llamaLibrary
	context uintptr
	vocab   int
	length  int
	last    []int32 // each sequence's newest token
}

// Run prints a llamaDecodeResult.
func (c *llamaDecodeCommand) Run(ctx context.Context) error {
	l, err := openLlama(c.Libraries)
	if err != nil {
		return err
	}
	model := l.loadModel(c.Model, l.modelDefaults())
	if model == 0 {
		return fmt.Errorf("llama.cpp cannot load %s", c.Model)
	}
	p := l.contextDefault()
	p.ctx, p.batch, p.seqMax = uint32(c.Batch*(c.Prompt+c.New)), uint32(c.Batch*c.Prompt), uint32(c.Batch)
	p.threads, p.threadsBatch = int32(c.Threads), int32(c.Threads)
	s := &llamaSequences{llamaLibrary: l, context: l.newContext(model, p), vocab: c.Vocab}
	if s.context == 0 {
		return fmt.Errorf("llama.cpp gives no context of %d tokens", p.ctx)
	}
	if _, _, err := c.generate(ctx, s, 4); err != nil { // as decodeCommand does
		return err
	}
	first, rest, err := c.generate(ctx, s, c.New)
	if err != nil {
		return err
	}
	r := llamaDecodeResult{FirstSeconds: first.Seconds(), TokensPerSecond: float64(c.Batch*(c.New-1)) / rest.Seconds(), System: l.systemInfo()}
	if r.Backend, err = mappedLibrary("libggml-cpu"); err != nil {
		return err
	}
	return printJSON(r)
}

// generate takes first until every sequence has a token, and rest until each has n.
func (c *llamaDecodeCommand) generate(ctx context.Context, s *llamaSequences, n int) (first, rest time.Duration, err error) {
	s.clearMemory(s.memory(s.context), true)
	s.length, s.last = 0, make([]int32, c.Batch)
	prompts := randomPrompts(c.Batch, c.Prompt, c.Vocab)
	start := time.Now()
	if err := s.extend(prompts); err != nil {
		return 0, 0, err
	}
	first = time.Since(start)
	if c.Logits != "" {
		if err := writeLogits(c.Logits, s.row(s.context, c.Prompt-1, s.vocab)); err != nil {
			return 0, 0, err
		}
	}
	start = time.Now()
	next := make([][]int32, c.Batch)
	for range n - 1 {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		for i := range next {
			next[i] = s.last[i : i+1]
		}
		if err := s.extend(next); err != nil {
			return 0, 0, err
		}
	}
	return first, time.Since(start), nil
}

// extend appends as many tokens to each sequence and chooses the likeliest next one.
func (s *llamaSequences) extend(ids [][]int32) error {
	n := len(ids[0])
	rows := len(ids) * n
	token, position, sequences := make([]int32, rows), make([]int32, rows), make([]int32, rows)
	of, sequence, output := make([]int32, len(ids)), make([]*int32, rows), make([]int8, rows)
	for i, part := range ids {
		of[i] = int32(i)
		for j, id := range part {
			row := i*n + j
			token[row], position[row], sequences[row], sequence[row] = id, int32(s.length+j), 1, &of[i]
		}
		output[i*n+n-1] = 1
	}
	if status := s.decode(s.context, llamaBatch{tokens: int32(rows), token: &token[0], position: &position[0], sequences: &sequences[0],
		sequence: &sequence[0], output: &output[0]}); status != 0 {
		return fmt.Errorf("llama_decode of %d tokens: %d", rows, status)
	}
	s.length += n
	for i := range ids {
		s.last[i] = likeliest(s.row(s.context, i*n+n-1, s.vocab))
	}
	return nil
}

func likeliest(logits []float32) int32 {
	best := 0
	for i, x := range logits {
		if x > logits[best] {
			best = i
		}
	}
	return int32(best)
}
