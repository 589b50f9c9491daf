package engine

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"so8t/engine/phi3"
)

// withoutTimes keeps what does not depend on speed or memory.
func withoutTimes(all []Generation) (out []string) {
	for _, g := range all {
		out = append(out, fmt.Sprint(g.Tokens, g.Finished))
	}
	return out
}

// TestSmallPool: a cache too small for all sequences puts some back, and each is continued with the same tokens.
// In float32: in bfloat16 a product's rounding shows how many sequences were decoded together.
func TestSmallPool(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int
	}{{"gqa", 250}, {"window", 250}, {"longrope", 128}} {
		o := variant(t, c.name)
		options := o.gated()
		options.MaxLength = c.length
		m, samples := o.open(t, options), o.samples
		var prompts [][]int32
		for i := range 9 {
			ids := samples[i%len(samples)].InputIDs
			prompts = append(prompts, ids[:min(len(ids), 2+7*i)])
		}
		for _, temperature := range []float64{0, 1} {
			o := GenerateOptions{MaxNewTokens: 240, BatchSize: 5, EOS: []int32{7, 9}, Temperature: temperature, TopP: 0.95, Seed: 3}
			want, err := m.Generate(ctx, prompts, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, pages := range []int{phi3.Pages(c.length), phi3.Pages(c.length) + 1, 2*phi3.Pages(c.length) + 1} {
				o.pages = pages
				got, err := m.Generate(ctx, prompts, o)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(withoutTimes(got), withoutTimes(want)) {
					t.Errorf("%s, temperature %v: %d pages give other tokens than a full pool", c.name, temperature, pages)
				}
				restarts := 0
				for i := range got {
					restarts += got[i].Restarts
					if want[i].Restarts > 0 {
						t.Errorf("%s: prompt %d was put back by a full pool", c.name, i)
					}
				}
				if crowded := pages == phi3.Pages(c.length)+1 && c.length > 2*phi3.PageSize; crowded && restarts == 0 {
					t.Errorf("%s, temperature %v: %d pages put no sequence back", c.name, temperature, pages)
				}
			}
		}
	}
}

// TestPutBack: a sequence may be put back at any time, before, at and after longrope's switch of factors.
func TestPutBack(t *testing.T) {
	for _, name := range []string{"gqa", "longrope"} {
		o := variant(t, name)
		options := o.gated()
		options.MaxLength = 100
		m := o.open(t, options)
		prompts := [][]int32{o.samples[0].InputIDs[:20], o.samples[1].InputIDs[:5], o.samples[2].InputIDs[:31]}
		generate := GenerateOptions{MaxNewTokens: 60, BatchSize: 2, EOS: []int32{}, Temperature: 1, TopP: 0.9}
		want, err := m.Generate(ctx, prompts, generate)
		if err != nil {
			t.Fatal(err)
		}
		s := openScheduler(t, m, SchedulerOptions{Slots: 2})
		ids := make([]RequestID, len(prompts))
		for i, p := range prompts {
			ids[i] = submit(t, s, Request{Prompt: p, MaxNewTokens: 60, EOS: []int32{}, Temperature: 1, TopP: 0.9, Index: i})
		}
		ended := map[RequestID]Generation{}
		for s.Len() > 0 {
			for _, e := range step(t, s) {
				if e.End != nil {
					ended[e.ID] = *e.End
				}
			}
			if n := len(s.running); n > 0 {
				s.putBack(s.running[n-1])
			}
		}
		var got []Generation
		for _, id := range ids {
			got = append(got, ended[id])
		}
		if !slices.Equal(withoutTimes(got), withoutTimes(want)) {
			t.Errorf("%s: other tokens after %d, %d and %d restarts", name, got[0].Restarts, got[1].Restarts, got[2].Restarts)
		}
		if got[0].Restarts+got[1].Restarts+got[2].Restarts < 30 {
			t.Errorf("%s: few restarts in %+v", name, got)
		}
		if free := s.cache.Vacant(); free != s.pages {
			t.Errorf("%d of %d pages came back", free, s.pages)
		}
	}
}

// draw is native.Sample's definition, word for word.
func draw(logits []float32, temperature, topP, u float64) int32 {
	most, total := float64(slices.Max(logits)), 0.0
	weights := make([]float64, len(logits))
	for i, l := range logits {
		weights[i] = math.Exp((float64(l) - most) / temperature)
		total += weights[i]
	}
	sorted := slices.Sorted(slices.Values(weights))
	slices.Reverse(sorted)
	mass, least := 0.0, 0.0
	for _, w := range sorted {
		if mass >= topP*total {
			break
		}
		mass, least = mass+w, w
	}
	sum, last := 0.0, 0
	for i, w := range weights {
		if w >= least {
			if sum, last = sum+w, i; sum > u*mass {
				break
			}
		}
	}
	return int32(last)
}

// TestGenerateSamples: sampled tokens are those that full passes and the definition of the draw give.
func TestGenerateSamples(t *testing.T) {
	o := variant(t, "gqa")
	options := o.gated()
	options.MaxLength = 100
	m := o.open(t, options)
	prompts := [][]int32{o.samples[0].InputIDs[:20], o.samples[1].InputIDs[:5], o.samples[0].InputIDs[:1]}
	greedily, err := m.Generate(ctx, prompts, GenerateOptions{MaxNewTokens: 20, EOS: []int32{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, topP := range []float64{0, 0.7} {
		got, err := m.Generate(ctx, prompts, GenerateOptions{MaxNewTokens: 20, BatchSize: 2, EOS: []int32{}, Temperature: 0.8, TopP: topP, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(withoutTimes(got), withoutTimes(greedily)) {
			t.Error("sampled tokens are the greedy ones")
		}
		if topP == 0 {
			topP = 1
		}
		for i, p := range prompts {
			ids := slices.Clone(p)
			for n := range 20 {
				logits, err := m.Logits(ctx, [][]int32{ids})
				if err != nil {
					t.Fatal(err)
				}
				u := newDraws(5, drawSample, uint32(i), uint32(n)).float()
				ids = append(ids, draw(logits[0][len(ids)-1], 0.8, topP, u))
			}
			if !slices.Equal(got[i].Tokens, ids[len(p):]) {
				t.Errorf("top_p %v, prompt %d: generated %v, full passes give %v", topP, i, got[i].Tokens, ids[len(p):])
			}
		}
	}
}

// TestScoreInParts: how many prompts are scored together changes nothing.
func TestScoreInParts(t *testing.T) {
	o := variant(t, "gqa")
	m := o.open(t, o.gated())
	var prompts [][]int32
	for i := range 7 {
		prompts = append(prompts, o.samples[i%len(o.samples)].InputIDs[:3+i])
	}
	continuations := [][]int32{{5}, {9, 8, 7}}
	want, err := m.Score(ctx, prompts, continuations)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]float64
	for _, p := range prompts {
		one, err := m.Score(ctx, [][]int32{p}, continuations)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, one...)
	}
	for i := range want {
		for j := range want[i] {
			if d := got[i][j] - want[i][j]; math.Abs(d) > 1e-4 { // float32 logits; products over other numbers of rows
				t.Errorf("prompt %d: %v together, %v alone", i, want[i], got[i])
			}
		}
	}
}
