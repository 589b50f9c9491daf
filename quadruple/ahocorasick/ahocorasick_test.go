package ahocorasick

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Every step is compared with a search of the text so far.
func TestMatcherAgreesWithSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abc\xff"[r.IntN(4)]
		}
		return string(b)
	}
	matches := 0
	for range 500 {
		var patterns []string
		for range r.IntN(8) {
			patterns = append(patterns, word(r.IntN(6)))
		}
		m := New(patterns)
		text := word(60)
		for i := range len(text) {
			matched, pending := 0, 0
			read := text[:i+1]
			for _, p := range patterns {
				if p != "" && strings.HasSuffix(read, p) {
					matched = max(matched, len(p))
				}
				for n := range len(p) + 1 {
					if strings.HasSuffix(read, p[:n]) {
						pending = max(pending, n)
					}
				}
			}
			if got := m.Step(text[i]); got != matched || m.Pending() != pending {
				t.Fatalf("%q behind %q: matched %d, pending %d; want %d, %d", patterns, read, got, m.Pending(), matched, pending)
			}
			matches += min(matched, 1)
		}
	}
	if matches < 1000 {
		t.Errorf("only %d matches", matches)
	}
}

func TestZeroValue(t *testing.T) {
	var m Matcher
	if m.Step('a') != 0 || m.Pending() != 0 {
		t.Error("a matcher without patterns matched")
	}
}
