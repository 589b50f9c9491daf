package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"so8t/engine/phi3"
)

// probeTolerance: float32 logits of products over other numbers of rows.
const probeTolerance = 1e-4

// probeModel is schedulerModel's with passes of whole sequences, which Model.Score needs.
func probeModel(t *testing.T) (*Model, oracleSamples) {
	o := variant(t, "gqa")
	options := o.gated()
	options.MaxLength, options.MaxTokens = 250, 250
	return o.open(t, options), o.samples
}

// labels are continuations of one to four tokens.
var labels = [][]int32{{5}, {9, 8}, {7, 6, 5}, {11, 12, 13, 14}}

func probeOf(t *testing.T, s *Scheduler, p Probe) RequestID {
	t.Helper()
	id, err := s.Score(p)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// sameScores compares a probe's scores with those of Model.Score, which shares no pages.
func sameScores(t *testing.T, m *Model, name string, p Probe, got []float64) {
	t.Helper()
	want, err := m.Score(ctx, [][]int32{p.Prompt}, p.Continuations)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want[0]) {
		t.Errorf("%s: scores %v, want %v", name, got, want[0])
		return
	}
	for i := range got {
		if !(math.Abs(got[i]-want[0][i]) < probeTolerance) {
			t.Errorf("%s: scores %v, want %v", name, got, want[0])
			return
		}
	}
}

func allVacant(t *testing.T, s *Scheduler) {
	t.Helper()
	if free := s.cache.Vacant(); free != s.pages {
		t.Errorf("%d of %d pages came back", free, s.pages)
	}
	if n := len(s.probes.spare); n != 4*len(s.slots) {
		t.Errorf("%d of %d slots for probes came back", n, 4*len(s.slots))
	}
}

// contexts are what is asked about a sequence with the given tokens so far: all of it, beginnings around the borders of
// pages, other tokens behind a common beginning, and nothing in common.
func contexts(tokens []int32) (all [][]int32) {
	for _, n := range []int{1, 2, 63, 64, 65, 127, 128, 129, len(tokens) - 1, len(tokens)} {
		if n > len(tokens) {
			continue
		}
		all = append(all, tokens[:n], slices.Concat(tokens[:n], []int32{3}), slices.Concat(tokens[:n-1], []int32{4, 4, 4}))
	}
	return append(all, []int32{17, 18, 19})
}

// TestProbe: a probe's scores are Model.Score's, of a sequence alone, in company and ended, and leave the tokens of the
// sequences as they are.
func TestProbe(t *testing.T) {
	m, samples := probeModel(t)
	request := Request{Prompt: samples[0].InputIDs[:9], MaxNewTokens: 150, EOS: []int32{}}
	want := alone(t, m, request)
	for _, company := range []int{0, 3} {
		s := openScheduler(t, m, SchedulerOptions{Slots: 4})
		x, probes := newStreams(t), map[RequestID]Probe{}
		id := submit(t, s, request)
		for i := range company {
			submit(t, s, Request{Prompt: samples[1].InputIDs[:5+i], MaxNewTokens: 200, EOS: []int32{}})
		}
		ask := func(tokens []int32) {
			for _, context := range contexts(tokens) {
				p := Probe{Of: id, Prompt: context, Continuations: labels}
				probes[probeOf(t, s, p)] = p
			}
		}
		for i := 0; s.Len() > 0; i++ {
			if i%40 == 1 && x.ended[id] == nil || i == 170 {
				ask(slices.Concat(request.Prompt, x.tokens[id]))
			}
			x.take(step(t, s))
		}
		for probe, p := range probes {
			sameScores(t, m, fmt.Sprintf("%d others, %d tokens", company, len(p.Prompt)), p, x.scores[probe])
		}
		if !slices.Equal(x.tokens[id], want) {
			t.Errorf("%d others: %v, without probes %v", company, x.tokens[id], want)
		}
		allVacant(t, s)
	}
}

// TestProbeShares: what a probe has in common with its sequence is not computed again, and its continuations are computed
// at once.
func TestProbeShares(t *testing.T) {
	m, samples := probeModel(t)
	s := openScheduler(t, m, SchedulerOptions{Slots: 2})
	x := newStreams(t)
	id := submit(t, s, Request{Prompt: samples[0].InputIDs[:9], MaxNewTokens: 200, EOS: []int32{}})
	for range 125 {
		x.take(step(t, s))
	}
	context := slices.Concat(samples[0].InputIDs[:9], x.tokens[id])[:130]
	probe := probeOf(t, s, Probe{Of: id, Prompt: context, Continuations: labels})
	vacant := s.cache.Vacant()
	events := step(t, s)
	if used := vacant - s.cache.Vacant(); used != 1 {
		t.Errorf("the context took %d pages beside the shared ones", used)
	}
	if q := s.probes.active[0]; s.cache.Length(q.slot) != len(context) {
		t.Errorf("%d of %d tokens are there after a step", s.cache.Length(q.slot), len(context))
	}
	x.take(events)
	x.take(step(t, s))
	if x.scores[probe] == nil {
		t.Error("no scores after two steps")
	}
	if s.Cancel(id); len(step(t, s)) > 0 || s.Len() > 0 {
		t.Error("the cancelled sequence goes on")
	}
	allVacant(t, s)
}

// TestProbeLongrope: continuations that outgrow the short factors, contexts that do, and sequences that have.
func TestProbeLongrope(t *testing.T) {
	o := variant(t, "longrope")
	options := o.gated()
	options.MaxLength = 128
	m := o.open(t, options)
	s := openScheduler(t, m, SchedulerOptions{Slots: 2, MaxLength: 120})
	id := submit(t, s, Request{Prompt: o.samples[0].InputIDs[:20], MaxNewTokens: 90, EOS: []int32{}})
	x, probes := newStreams(t), map[RequestID]Probe{}
	border := m.phi.Config.Rope.OriginalMax
	for s.Len() > 0 {
		x.take(step(t, s))
		tokens := slices.Concat(o.samples[0].InputIDs[:20], x.tokens[id])
		if len(tokens) < border-5 || len(tokens) > border+5 || x.ended[id] != nil {
			continue
		}
		for _, back := range []int{0, 4} {
			p := Probe{Of: id, Prompt: tokens[:len(tokens)-back], Continuations: labels}
			probes[probeOf(t, s, p)] = p
		}
	}
	if len(probes) < 10 {
		t.Fatalf("%d probes around %d tokens", len(probes), border)
	}
	for id, p := range probes {
		sameScores(t, m, fmt.Sprintf("%d tokens", len(p.Prompt)), p, x.scores[id])
	}
	allVacant(t, s)
}

// TestProbeWaits: a probe gives its pages back to a sequence that needs them, and no other request begins before it.
func TestProbeWaits(t *testing.T) {
	m, _ := probeModel(t)
	s := openScheduler(t, m, SchedulerOptions{Slots: 2, Chunk: 16, pages: 6})
	x, id := newStreams(t), submit(t, s, Request{Prompt: randomTokens(1, 5), MaxNewTokens: 230, EOS: []int32{}})
	for len(x.tokens[id]) < 120 {
		x.take(step(t, s))
	}
	p := Probe{Prompt: randomTokens(2, 240), Continuations: labels}
	probe := probeOf(t, s, p) // takes the four pages that are left; the sequence needs one of them soon
	for x.take(step(t, s)); len(s.probes.active) > 0; {
		x.take(step(t, s))
	}
	late := submit(t, s, Request{Prompt: randomTokens(3, 5), MaxNewTokens: 5, EOS: []int32{}})
	for s.Len() > 0 {
		if x.take(step(t, s)); len(x.tokens[late]) > 0 && len(s.probes.waiting) > 0 {
			t.Fatal("a request that came later began before the probe")
		}
	}
	if n := x.ended[id].Restarts; n != 0 {
		t.Errorf("the sequence was put back %d times", n)
	}
	sameScores(t, m, "after waiting", p, x.scores[probe])
	allVacant(t, s)
}

// TestManyContinuations: more of them than a pass has rows are spread over passes.
func TestManyContinuations(t *testing.T) {
	m, samples := schedulerModel(t)
	s := openScheduler(t, m, SchedulerOptions{Slots: 2})
	p := Probe{Prompt: samples[0].InputIDs[:9]}
	for i := range m.options.MaxTokens * 2 / 3 {
		p.Continuations = append(p.Continuations, []int32{int32(i), 5}[:1+i%2])
	}
	x, one, two := newStreams(t), probeOf(t, s, p), probeOf(t, s, p)
	for s.Len() > 0 {
		x.take(step(t, s))
	}
	sameScores(t, m, "one", p, x.scores[one])
	sameScores(t, m, "two", p, x.scores[two])
	allVacant(t, s)
}

// TestProbeErrors: a probe that cannot be answered is refused alone.
func TestProbeErrors(t *testing.T) {
	m, samples := probeModel(t)
	s := openScheduler(t, m, SchedulerOptions{Slots: 2, MaxLength: 60})
	prompt := samples[0].InputIDs[:9]
	for want, p := range map[string]Probe{
		"continuation 1 is empty": {Prompt: prompt, Continuations: [][]int32{{1}, {}}},
		"0 continuations":         {Prompt: prompt},
		"0 tokens":                {Continuations: labels},
		"57 tokens":               {Prompt: make([]int32, 57), Continuations: labels},
		"token 1048576 is":        {Prompt: prompt, Continuations: [][]int32{{1 << 20}}},
		"token -1 is":             {Prompt: []int32{-1}, Continuations: labels},
	} {
		if _, err := s.Score(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	if s.Len() != 0 {
		t.Errorf("%d probes are open", s.Len())
	}
	id := probeOf(t, s, Probe{Prompt: prompt, Continuations: labels})
	s.Cancel(id)
	if events := step(t, s); len(events) > 0 || s.Len() > 0 {
		t.Errorf("a cancelled probe: %v", events)
	}
	allVacant(t, s)
}

// TestSoak: requests and probes come and go at random in pools that are too small. Every answer is the one a request gets
// alone, every probe has its scores, and at the end no page is missing.
func TestSoak(t *testing.T) {
	m, samples := schedulerModel(t)
	reference, _ := probeModel(t) // passes of m are too short for Model.Score
	random := rand.New(rand.NewPCG(1, 2))
	requests := make([]Request, 12)
	want := make([][]int32, len(requests))
	for i := range requests {
		ids := samples[i%len(samples)].InputIDs
		requests[i] = Request{Prompt: ids[:min(len(ids), 1+random.IntN(60))], MaxNewTokens: 1 + random.IntN(180), EOS: []int32{7}, Seed: uint64(i),
			Temperature: float64(i % 2), Client: fmt.Sprint(i % 3)}
		want[i] = alone(t, m, requests[i])
	}
	for _, o := range []SchedulerOptions{{Slots: 3, pages: 4}, {Slots: 4, pages: 7}, {Slots: 4, pages: 7, Chunk: 16}, {Slots: 5}} {
		s := openScheduler(t, m, o)
		x, probes, origin := newStreams(t), map[RequestID]Probe{}, map[RequestID]int{}
		cancelled := map[RequestID]bool{}
		for i := 0; i < 400 || s.Len() > 0; i++ {
			if i < 400 && random.IntN(8) == 0 {
				k := random.IntN(len(requests))
				origin[submit(t, s, requests[k])] = k
			}
			if live := s.running; i < 400 && len(live) > 0 && random.IntN(4) == 0 {
				q := live[random.IntN(len(live))]
				all := contexts(q.tokens)
				if p := (Probe{Of: q.id, Prompt: all[random.IntN(len(all))], Continuations: labels}); len(p.Prompt) < 240 {
					probes[probeOf(t, s, p)] = p
				}
				if random.IntN(10) == 0 {
					cancelled[q.id] = true
					s.Cancel(q.id)
				}
			}
			x.take(step(t, s))
		}
		for id, k := range origin {
			if !cancelled[id] && !slices.Equal(x.tokens[id], want[k]) {
				t.Errorf("%+v: request %d: %v, alone %v", o, k, x.tokens[id], want[k])
			}
		}
		for id, p := range probes {
			sameScores(t, reference, fmt.Sprintf("%+v", o), p, x.scores[id])
		}
		if len(probes) < 40 || len(cancelled) == 0 {
			t.Errorf("%d probes, %d cancelled", len(probes), len(cancelled))
		}
		allVacant(t, s)
	}
}

// TestFork: a slot may not write to a page that another one reads.
func TestFork(t *testing.T) {
	m, samples := probeModel(t)
	err := m.run(ctx, func() error {
		c, err := m.phi.NewCache(3, 250, 8)
		if err != nil {
			return err
		}
		defer m.phi.FreeCache(c)
		ids := slices.Concat(samples[0].InputIDs, samples[0].InputIDs, samples[0].InputIDs)[:100]
		if err := m.phi.Fill(c, []phi3.Piece{{IDs: ids}}, true); err != nil {
			return err
		}
		if err := m.phi.Fork(c, 0, 1, 70); err != nil {
			return err
		}
		if free := c.Vacant(); free != 8-2-1 {
			t.Errorf("%d pages are free", free)
		}
		c.Truncate(0, 60)
		for _, slot := range []int{0, 1} {
			err := m.phi.Extend(c, []phi3.Piece{{Slot: slot, IDs: ids[:1]}}, true)
			if bad := err != nil; bad != (slot == 0) {
				t.Errorf("slot %d: %v", slot, err)
			}
		}
		if err := m.phi.Fork(c, 1, 0, 10); err == nil {
			t.Error("a fork into a slot that is taken")
		}
		if err := m.phi.Fork(c, 1, 2, 72); err == nil {
			t.Error("a fork of more than there is")
		}
		c.Truncate(0, 0)
		c.Truncate(1, 0)
		if free := c.Vacant(); free != 8 {
			t.Errorf("%d of 8 pages came back", free)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
