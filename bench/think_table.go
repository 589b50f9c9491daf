package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// quantiles of seconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func quantilesOf(seconds []float64) (q quantiles) {
	if len(seconds) == 0 {
		return q
	}
	seconds = slices.Sorted(slices.Values(seconds))
	at := func(share float64) float64 { return seconds[int(share*float64(len(seconds)-1))] }
	return quantiles{at(0.5), at(0.95), at(0.99), at(1)}
}

func (q quantiles) String() string {
	return fmt.Sprintf("p50 %.0f ms, p95 %.0f ms, p99 %.0f ms, max %.0f ms", 1e3*q.P50, 1e3*q.P95, 1e3*q.P99, 1e3*q.Max)
}

// into writes down what the clients saw.
func (l *load) into(r *thinkResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Requests, r.Abandoned, r.Leaks, r.Fallbacks = l.requests, l.abandoned, l.leaks, l.fallbacks
	r.Losses, r.Models = l.losses, l.models
	for _, n := range l.losses {
		r.Lost += n
	}
	r.First, r.End = quantilesOf(l.first), quantilesOf(l.end)
}

// String is the table for people.
func (r thinkResult) String() string {
	var b strings.Builder
	row := func(name, format string, values ...any) {
		fmt.Fprintf(&b, "%-22s "+format+"\n", append([]any{name}, values...)...)
	}
	row("machine", "%s, %d cores", r.Machine.CPU, r.Machine.Cores)
	row("load", "%d clients, %.0f s, %d requests, %d abandoned by their clients", r.Clients, r.Seconds, r.Requests, r.Abandoned)
	row("lost", "%d", r.Lost)
	for _, what := range slices.Sorted(maps.Keys(r.Losses)) {
		row("", "%d × %s", r.Losses[what], what)
	}
	row("thinking shown", "in %d answers", r.Leaks)
	row("fallbacks", "%d", r.Fallbacks)
	row("first visible byte", "%v", r.First)
	row("end", "%v", r.End)
	row("tokens/s", "%.0f", r.Served)
	if r.Generated > 0 {
		row("Generate, by turns", "%.0f tokens/s; ratio %.3f, of tokens a second of processor time %.3f", r.Generated, r.Ratio, r.RatioCPU)
	}
	row("cores", "server %.2f, clients %.2f", r.ServerCPU, r.ClientsCPU)
	if m := r.Memory; m != nil {
		row("resident memory", "%.1f MB warm, %.1f MB at the end, peak %.1f MB, %+.2f MB a minute in the second half", m.Warm, m.End, m.Peak, m.Slope)
	}
	if r.Promotions > 0 {
		row("promotions", "%d moves of the link", r.Promotions)
	}
	for _, digest := range slices.Sorted(maps.Keys(r.Models)) {
		row("model", "%d answers by %s", r.Models[digest], digest)
	}
	return b.String()
}
