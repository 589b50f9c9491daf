package main

import (
	"context"
	"fmt"
	"strings"
)

// variant is one way to take the step: an engine, a number type, compiled or not.
type variant struct {
	Engine    string    `json:"engine"` // so8t or PEFT
	Type      string    `json:"type"`   // float32 or bfloat16
	Compiled  bool      `json:"compiled,omitempty"`
	Probe     float64   `json:"probe_tokens_per_second"`
	Rounds    []float64 `json:"rounds,omitempty"` // tokens/s; none for a variant that the probe left behind
	PeakBytes int64     `json:"peak_rss_bytes"`
	Error     string    `json:"error,omitempty"` // of the probe

	process process
}

// result is what a variant's process prints: a stepResult, or peft_train.py's line.
type result struct {
	peft
	ISA          string `json:"isa"`
	PeakRSSBytes int64  `json:"peak_rss_bytes"`
}

func (v *variant) name() string {
	name := v.Engine + " " + v.Type
	if v.Compiled {
		name += " compiled"
	}
	return name
}

// speed is the median of the rounds, or the probe's.
func (v *variant) speed() float64 {
	if len(v.Rounds) > 0 {
		return median(v.Rounds)
	}
	return v.Probe
}

// probe takes a few steps. A variant may fail, as torch.compile does without a C++ compiler; then it is out.
func (v *variant) probe(ctx context.Context, t *turn, steps string) {
	if t.err != nil {
		return
	}
	r, err := v.run(ctx, t, "--steps", steps)
	if err != nil {
		if t.err = ctx.Err(); t.err == nil {
			v.Error = lastLines(err.Error(), 1)
		}
		return
	}
	v.Probe, v.PeakBytes = r.TokensPerSecond, max(r.PeakBytes, r.PeakRSSBytes)
}

// round takes a round's steps.
func (v *variant) round(ctx context.Context, t *turn, steps string) (r result) {
	if t.err != nil {
		return r
	}
	if r, t.err = v.run(ctx, t, "--steps", steps); t.err == nil {
		v.Rounds, v.PeakBytes = append(v.Rounds, r.TokensPerSecond), max(v.PeakBytes, r.PeakBytes, r.PeakRSSBytes)
	}
	return r
}

func (v *variant) run(ctx context.Context, t *turn, args ...string) (r result, err error) {
	err = t.read(ctx, &r, v.process.with(args...))
	return r, err
}

// behind is the share of the best probe's speed below which a variant is not measured further: far more than a probe's noise.
const behind = 0.8

// contenders are the variants of an engine that may be its fastest, by the probe.
func contenders(all []*variant, engine string) (list []*variant, err error) {
	best := fastest(all, func(v *variant) bool { return v.Engine == engine })
	if best == nil {
		var why []string
		for _, v := range all {
			if v.Engine == engine {
				why = append(why, v.name()+": "+v.Error)
			}
		}
		return nil, fmt.Errorf("no variant of %s gave a result:\n%s", engine, strings.Join(why, "\n"))
	}
	for _, v := range all {
		if v.Engine == engine && v.Error == "" && v.Probe >= behind*best.Probe {
			list = append(list, v)
		}
	}
	return list, nil
}

// fastest is the fastest of those that pass; nil if none gave a result.
func fastest(all []*variant, pass func(*variant) bool) (best *variant) {
	for _, v := range all {
		if pass(v) && v.speed() > 0 && (best == nil || v.speed() > best.speed()) {
			best = v
		}
	}
	return best
}
