package engine

import (
	"context"
	"errors"
	"fmt"
)

// GenerateOptions has the names of transformers' GenerationConfig.
type GenerateOptions struct {
	MaxNewTokens int
	BatchSize    int     // sequences decoded at once; 0: 16
	EOS          []int32 // a sequence ends with one of these; nil: the model's own
	Temperature  float64 // 0: greedy
	TopP         float64 // 0 or 1: the whole distribution
	Seed         uint64
	Stop         func(generated []int32) bool // called after each token; may be nil

	pages int // see SchedulerOptions
}

// Generate continues prompts, several at once; see Scheduler.
func (m *Model) Generate(ctx context.Context, prompts [][]int32, o GenerateOptions) ([]Generation, error) {
	out, err := m.generate(ctx, prompts, o)
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	return out, nil
}

func (m *Model) generate(ctx context.Context, prompts [][]int32, o GenerateOptions) (out []Generation, err error) {
	if o.MaxNewTokens < 0 || o.BatchSize < 0 {
		return nil, fmt.Errorf("max_new_tokens %d or batch size %d is out of range", o.MaxNewTokens, o.BatchSize)
	}
	longest := 0
	for _, p := range prompts {
		longest = max(longest, len(p))
	}
	out = make([]Generation, len(prompts))
	if len(prompts) == 0 || o.MaxNewTokens == 0 {
		return out, nil
	}
	if o.BatchSize == 0 {
		o.BatchSize = 16
	}
	s, err := m.NewScheduler(ctx, SchedulerOptions{Slots: min(o.BatchSize, len(prompts)), MaxLength: min(m.options.MaxLength, longest+o.MaxNewTokens),
		pages: o.pages})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	index := map[RequestID]int{}
	for i, p := range prompts {
		id, err := s.Submit(Request{Prompt: p, MaxNewTokens: o.MaxNewTokens, EOS: o.EOS, Stop: o.Stop, Temperature: o.Temperature, TopP: o.TopP,
			Seed: o.Seed, Index: i})
		if err != nil {
			return nil, fmt.Errorf("prompt %d: %w", i, err)
		}
		index[id] = i
	}
	return out, s.Steps(ctx, func(events []Event) bool {
		for _, e := range events {
			if e.End != nil {
				out[index[e.ID]] = *e.End
			}
		}
		return true
	})
}
