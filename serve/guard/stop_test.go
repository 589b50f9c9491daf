package guard_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"so8t/quadruple/quadrupletest"
	"so8t/serve/guard"
	"so8t/serve/servetest"
)

// A stop string ends the visible text before its first byte, however the text is cut. One that stands in the thinking
// alone does nothing: a client cannot ask by it what was thought.
func TestStop(t *testing.T) {
	for _, c := range []struct {
		name, final, want string
		stop              []string
		why               string
	}{
		{"none", "一つ。二つ。", "一つ。二つ。", nil, guard.Stop},
		{"in the text", "一つ。二つ。三つ。", "一つ。", []string{"二つ"}, guard.Stop},
		{"the first of two", "一つ。二つ。三つ。", "一つ。", []string{"三つ", "二つ"}, guard.Stop},
		{"one within another", "abcabd", "abc", []string{"abd", "xyz"}, guard.Stop},
		{"begun and not ended", "一つ。二", "一つ。二", []string{"二つ"}, guard.Stop},
		{"begun and gone on otherwise", "aab", "aab", []string{"aac"}, guard.Stop},
		{"at the beginning", "一つ。", "", []string{"一"}, guard.Stop},
		{"white space", "一つ\n\n二つ", "一つ", []string{"\n\n"}, guard.Stop},
		{"in the thinking alone", "一つ。", "一つ。", []string{servetest.Canary, "think-safety", "decision", "安全性", "<final>"}, guard.Stop},
		{"behind a cut", "一つ。\ndecision: DENY\n二つ", "一つ。", []string{"二つ"}, guard.ContentFilter},
		{"in the fallback", "", fallback, []string{"お答え"}, guard.ContentFilter},
	} {
		text := servetest.Answer("ALLOW", c.final)
		for way, pieces := range quadrupletest.Cuts(t, text, rand.New(rand.NewPCG(5, 6))) {
			b := play(options, servetest.Say(pieces...))
			r := ask("?")
			r.Stop = c.stop
			if result, _ := b.answers(t, r); result.Answer != c.want || result.FinishReason != c.why {
				t.Errorf("%s, %s: %q, %s", c.name, way, result.Answer, result.FinishReason)
			}
		}
	}
}

// Where the text ends is found by searching all of it.
func TestStopAgreesWithSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abc"[r.IntN(3)]
		}
		return string(b)
	}
	stopped := 0
	for range 400 {
		final, stops := word(20), []string{word(1 + r.IntN(5)), word(1 + r.IntN(5)), word(4)}
		want, end := final, len(final)+1
		for _, s := range stops {
			if i := strings.Index(final, s); i >= 0 && (i+len(s) < end || i+len(s) == end && i < len(want)) { // complete first; of two the longer
				want, end = final[:i], i+len(s)
			}
		}
		if end <= len(final) {
			stopped++
		}
		for way, pieces := range quadrupletest.Cuts(t, servetest.Answer("ALLOW", final), r) {
			b := play(options, servetest.Say(pieces...))
			q := ask("?")
			q.Stop = stops
			if result, _ := b.answers(t, q); result.Answer != want {
				t.Fatalf("%s: %q with stops %s: %q, want %q", way, final, fmt.Sprint(stops), result.Answer, want)
			}
		}
	}
	if stopped < 100 {
		t.Errorf("only %d texts were stopped", stopped)
	}
}
