package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"so8t/crashlab/powerfs"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// A seed names one sequence of disturbances: a failure is tried again by its seed.
func TestASeedIsASequence(t *testing.T) {
	sequence := func(seed uint64) (names []string) {
		rng := seeded(seed)
		for range 8 {
			e := draw(rng, events)
			point, times := drawPoint(rng, []string{"file.synced", "lease.taken", "checkpoint.after_sync"})
			n, kind := drawCut(rng)
			names = append(names, fmt.Sprint(e.name, " ", point, ":", times, " ", n, kind, " ", drawOutage(rng)))
		}
		return names
	}
	if a, b := sequence(7), sequence(7); !slices.Equal(a, b) {
		t.Errorf("seed 7 gives\n%v\nand then\n%v", a, b)
	}
	if a, b := sequence(7), sequence(8); slices.Equal(a, b) {
		t.Errorf("seeds 7 and 8 both give %v", a)
	}
}

// Each event comes as often as its weight says, within five standard deviations.
func TestDrawByWeight(t *testing.T) {
	const n = 100_000
	counts, rng := map[string]int{}, seeded(1)
	for range n {
		counts[draw(rng, events).name]++
	}
	whole := 0
	for _, e := range events {
		whole += e.weight
	}
	if whole != 100 {
		t.Errorf("the weights add up to %d, not to 100 %%", whole)
	}
	for _, e := range events {
		p := float64(e.weight) / float64(whole)
		if got, deviation := float64(counts[e.name]), math.Sqrt(n*p*(1-p)); math.Abs(got-n*p) > 5*deviation {
			t.Errorf("%s: %.0f of %d, want %.0f ± %.0f", e.name, got, n, n*p, 5*deviation)
		}
	}
	if one := draw(rng, events[3:4]); one.name != events[3].name {
		t.Errorf("of one event %s came", one.name)
	}
}

// Points that a run passes often are met at the first to fourth passing, the others at the first.
func TestDrawPoint(t *testing.T) {
	rng, seen := seeded(1), map[string]map[int]bool{}
	for range 2000 {
		point, times := drawPoint(rng, []string{"file.synced", "checkpoint.after_sync", "lease.taken", "export.half_merged"})
		if seen[point] == nil {
			seen[point] = map[int]bool{}
		}
		seen[point][times] = true
	}
	for point, most := range map[string]int{"file.synced": 4, "checkpoint.after_sync": 4, "lease.taken": 1, "export.half_merged": 1} {
		if len(seen[point]) != most || !seen[point][1] || !seen[point][most] {
			t.Errorf("%s is met at the passings %v, want 1 to %d", point, seen[point], most)
		}
	}
}

func TestDrawOutage(t *testing.T) {
	rng, long := seeded(1), 0
	const n = 12_000
	for range n {
		switch d := drawOutage(rng); {
		case d == 12*time.Second:
			long++
		case d < 0 || d >= 700*time.Millisecond:
			t.Fatalf("dead for %v", d)
		}
	}
	if long < n/12*8/10 || long > n/12*12/10 {
		t.Errorf("%d of %d outages are long, want about %d", long, n, n/12)
	}
}

func TestDrawCut(t *testing.T) {
	rng, most := seeded(1), map[powerfs.Kind]int64{}
	for range 5000 {
		n, kind := drawCut(rng)
		if n < 1 {
			t.Fatalf("power fails at operation %d", n)
		}
		most[kind] = max(most[kind], n)
	}
	for _, kind := range cutKinds {
		want := int64(12)
		if kind == 0 {
			want = 200 // of any kind
		}
		if most[kind] != want {
			t.Errorf("%v: at most the operation %d, want %d", kind, most[kind], want)
		}
	}
}

// An event that names itself must not be counted under its own name too, and each is counted under one name.
func TestEventNames(t *testing.T) {
	names := map[string]bool{}
	for _, e := range events {
		if names[e.name] || e.do == nil || e.weight <= 0 || e.counts != strings.HasPrefix(e.name, "at ") {
			t.Errorf("%+v", e)
		}
		names[e.name] = true
	}
}
