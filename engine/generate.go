package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"so8t/engine/phi3"
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

	pages int // of the cache's pool; 0: as many as could be of use, if the device has room for them
}

// Generation is the continuation of one prompt.
type Generation struct {
	Tokens   []int32 // without the prompt and without the ending token
	Finished bool    // ended by itself: by an EOS token or Stop
	Latency  time.Duration
	Restarts int // how often it was put back for want of memory
}

// Generate continues prompts, several at once: a sequence that ends makes room for the next one. Where memory is
// too small for all of them at their longest, the youngest waits for its turn and loses only time.
func (m *Model) Generate(ctx context.Context, prompts [][]int32, o GenerateOptions) ([]Generation, error) {
	g := &generator{model: m, options: o, prompts: prompts, out: make([]Generation, len(prompts))}
	if o.EOS == nil {
		g.options.EOS = m.phi.Config.EOSTokenIDs
	}
	if o.BatchSize == 0 {
		g.options.BatchSize = 16
	}
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	if len(prompts) == 0 || o.MaxNewTokens == 0 {
		return g.out, nil
	}
	if err := m.run(ctx, func() error { return g.run(ctx) }); err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	return g.out, nil
}

type generator struct {
	model    *Model
	options  GenerateOptions
	prompts  [][]int32
	out      []Generation
	cache    *phi3.Cache
	capacity int
	pages    int
	active   []int // prompt by slot, −1: free
	order    []int // busy slots, the youngest last
	waiting  []int // prompts not begun, or put back; the first is next
	started  []time.Time
}

func (g *generator) check() error {
	o, m := g.options, g.model
	if o.MaxNewTokens < 0 || o.Temperature < 0 || o.TopP < 0 || o.TopP > 1 || o.BatchSize < 1 {
		return fmt.Errorf("max_new_tokens %d, temperature %v, top_p %v or batch size %d is out of range", o.MaxNewTokens, o.Temperature, o.TopP, o.BatchSize)
	}
	longest := 0
	for i, p := range g.prompts {
		if len(p) == 0 || len(p) > m.options.MaxTokens || len(p) >= m.options.MaxLength {
			return fmt.Errorf("prompt %d has %d tokens, the model was opened for 1 to %d", i, len(p), min(m.options.MaxTokens, m.options.MaxLength-1))
		}
		longest = max(longest, len(p))
	}
	g.capacity = min(m.options.MaxLength, longest+o.MaxNewTokens)
	return nil
}

func (g *generator) run(ctx context.Context) error {
	if err := g.open(); err != nil {
		return err
	}
	defer g.model.phi.FreeCache(g.cache)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := g.admit(); err != nil {
			return err
		}
		if len(g.order) == 0 {
			return nil
		}
		g.makeRoom()
		if err := g.advance(g.busy()); err != nil {
			return err
		}
	}
}

// open makes the cache and queues every prompt.
func (g *generator) open() (err error) {
	slots := min(g.options.BatchSize, len(g.prompts), g.model.options.MaxTokens)
	if g.pages = g.options.pages; g.pages == 0 {
		if g.pages, err = g.model.cachePages(slots*phi3.Pages(g.capacity), phi3.Pages(g.capacity)); err != nil {
			return err
		}
	}
	if g.cache, err = g.model.phi.NewCache(slots, g.capacity, g.pages); err != nil {
		return err
	}
	g.active, g.started = make([]int, slots), make([]time.Time, len(g.prompts))
	for i := range g.active {
		g.active[i] = -1
	}
	for i := range g.prompts {
		g.waiting = append(g.waiting, i)
	}
	return nil
}

func (g *generator) busy() (slots []int) {
	for slot, prompt := range g.active {
		if prompt >= 0 {
			slots = append(slots, slot)
		}
	}
	return slots
}

// advance feeds each busy slot its last token. A slot that outgrows longrope's short factors is computed anew.
func (g *generator) advance(slots []int) error {
	var extensions []phi3.Extension
	var plain []int
	for _, slot := range slots {
		prompt := g.active[slot]
		tokens := g.out[prompt].Tokens
		if !g.model.phi.Outgrows(g.cache, slot, 1) {
			extensions = append(extensions, phi3.Extension{Slot: slot, IDs: tokens[len(tokens)-1:]})
			plain = append(plain, slot)
			continue
		}
		whole := slices.Concat(g.prompts[prompt], tokens)
		if len(whole) > g.model.options.MaxTokens {
			g.end(slot, false)
			continue
		}
		if err := g.model.phi.Fill(g.cache, [][]int32{whole}, []int{slot}, g.model.adapted); err != nil {
			return err
		}
		if err := g.choose([]int{slot}); err != nil {
			return err
		}
	}
	if len(plain) == 0 {
		return nil
	}
	if err := g.model.phi.Extend(g.cache, extensions, g.model.adapted); err != nil {
		return err
	}
	return g.choose(plain)
}

// choose takes the next token of each slot from the last pass and ends what is finished.
func (g *generator) choose(slots []int) error {
	ids, err := g.pick(slots)
	if err != nil {
		return err
	}
	for i, slot := range slots {
		out := &g.out[g.active[slot]]
		if slices.Contains(g.options.EOS, ids[i]) {
			g.end(slot, true)
			continue
		}
		out.Tokens = append(out.Tokens, ids[i])
		stopped := g.options.Stop != nil && g.options.Stop(out.Tokens)
		full := len(out.Tokens) >= g.options.MaxNewTokens || len(g.prompts[g.active[slot]])+len(out.Tokens) >= g.capacity
		if stopped || full {
			g.end(slot, stopped)
		}
	}
	return nil
}

func (g *generator) end(slot int, finished bool) {
	prompt := g.active[slot]
	g.out[prompt].Finished = finished
	g.out[prompt].Latency = time.Since(g.started[prompt])
	g.leave(slot)
}

// pick chooses the next token of each slot on the device. The number that a draw uses is a function of seed, prompt and place.
func (g *generator) pick(slots []int) ([]int32, error) {
	if g.options.Temperature == 0 {
		return g.model.phi.PickedArgmax()
	}
	u := make([]float32, len(slots))
	for i, slot := range slots {
		prompt := g.active[slot]
		u[i] = float32(newDraws(g.options.Seed, drawSample, uint32(prompt), uint32(len(g.out[prompt].Tokens))).float())
	}
	topP := g.options.TopP
	if topP == 0 {
		topP = 1
	}
	return g.model.phi.PickedSample(u, g.options.Temperature, topP)
}
