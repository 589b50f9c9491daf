package guard_test

import (
	"context"
	"strings"
	"testing"

	"so8t/serve/guard"
	"so8t/serve/servetest"
)

// quiet takes what leaves and keeps nothing.
type quiet struct{}

func (quiet) Begin(guard.Verdict) error { return nil }
func (quiet) Text(string) error         { return nil }

// BenchmarkAnswer is the guard's own time for a token of an answer of 1,000, half of them thinking: filter, stop strings, and
// what a fake model and log take. The scores' tokenisation is in it.
func BenchmarkAnswer(b *testing.B) {
	sentence := "在庫表の最新版は共有フォルダーにあります。\n"
	text := strings.Replace(servetest.Answer("ALLOW", strings.Repeat(sentence, 24)), servetest.Canary, servetest.Canary+strings.Repeat(sentence, 24), 1)
	output := servetest.Characters(text)
	output.Batch = 1
	bench := play(options, output)
	r := ask("在庫は？")
	r.Stop = []string{"終わり", "###"}
	for b.Loop() {
		if _, err := bench.Answer(context.Background(), r, quiet{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(output.Pieces)), "ns/token")
}
