package engine

import (
	"fmt"
	"slices"
	"testing"

	"so8t/engine/phi3"
)

// TestPrefixes: requests that begin alike share the pages of their whole chunks and have the tokens that they have without,
// to the bit in bfloat16. Kept beginnings are bounded, and go where a sequence needs their pages.
func TestPrefixes(t *testing.T) {
	m := openBFloat16(t)
	const chunk = phi3.PageSize
	system := randomTokens(1, 2*chunk+10)
	request := func(i int) Request {
		return Request{Prompt: slices.Concat(system, randomTokens(uint64(i), 5+i)), MaxNewTokens: 20, EOS: []int32{}}
	}
	answer := func(s *Scheduler, r Request) (tokens []int32, computed int) {
		x, id := newStreams(t), submit(t, s, r)
		x.take(step(t, s))
		computed = s.cache.Length(s.running[0].slot)
		for s.Len() > 0 {
			x.take(step(t, s))
		}
		return x.tokens[id], computed
	}
	without := openScheduler(t, m, SchedulerOptions{Slots: 2, Chunk: chunk})
	s := openScheduler(t, m, SchedulerOptions{Slots: 2, Chunk: chunk, Prefixes: 2})
	for i := range 5 {
		want, _ := answer(without, request(i))
		got, first := answer(s, request(i))
		if !slices.Equal(got, want) {
			t.Errorf("request %d: %v, without prefixes %v", i, got, want)
		}
		if shared := first > chunk; shared != (i >= 2) {
			t.Errorf("request %d: %d tokens after the first step", i, first)
		}
		if want := map[bool]int{true: 2}[i >= 1]; s.pages-s.cache.Vacant() != want {
			t.Errorf("request %d: %d pages are kept, want %d", i, s.pages-s.cache.Vacant(), want)
		}
	}
	for i := range 10 { // other beginnings, twice each
		answer(s, Request{Prompt: randomTokens(uint64(50+i/2), chunk+1), MaxNewTokens: 3, EOS: []int32{}})
	}
	if kept := fmt.Sprint(len(s.prefixes.kept), s.pages-s.cache.Vacant()); kept != "2 2" {
		t.Errorf("kept beginnings and pages: %s", kept)
	}
	s.vacate(s.pages)
	allVacant(t, s)
}

// TestPrefixesYield: kept beginnings never put a sequence back.
func TestPrefixesYield(t *testing.T) {
	m := openBFloat16(t)
	s := openScheduler(t, m, SchedulerOptions{Slots: 1, Chunk: phi3.PageSize, Prefixes: 3, pages: phi3.Pages(250)})
	for i := range 6 {
		prompt := slices.Concat(randomTokens(uint64(i/2), 130), randomTokens(uint64(i), 10))
		x, id := newStreams(t), submit(t, s, Request{Prompt: prompt, MaxNewTokens: 105, EOS: []int32{}})
		for s.Len() > 0 {
			x.take(step(t, s))
		}
		if g := x.ended[id]; g.Restarts > 0 || len(g.Tokens) != 105 {
			t.Errorf("request %d: %d tokens, put back %d times", i, len(g.Tokens), g.Restarts)
		}
	}
	for _, o := range []SchedulerOptions{{Prefixes: 1}, {Prefixes: 1, Chunk: 65}, {Prefixes: -1}} {
		if s, err := m.NewScheduler(ctx, o); err == nil {
			t.Errorf("%+v was accepted", o)
			s.Close()
		}
	}
}
