package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"so8t/tokenizer"
)

// tokensCommand measures the tokenizer.
type tokensCommand struct {
	Tokenizer string `default:"demo/base" help:"Folder of tokenizer.json."`
}

// Run prints MB/s.
func (c *tokensCommand) Run() error {
	speed, err := tokenizerSpeed(c.Tokenizer)
	if err != nil {
		return err
	}
	return printJSON(map[string]any{"tokenizer": c.Tokenizer, "tokenizer_mb_per_second": speed})
}

// tokenizerSpeed is how many megabytes of UTF-8 Encode takes a second, on one core, record by record as a split does: the median of
// several passes over the demo's text, or over the same with each record's characters shuffled, whichever is slower. The first
// repeats itself more than real text does, which favours a cache of pieces; the second never does. Each pass loads the tokenizer anew.
func tokenizerSpeed(dir string) (mbPerSecond float64, err error) {
	text, err := demoText()
	if err != nil {
		return 0, err
	}
	records := strings.SplitAfter(text, "</final>\n")
	plain, err := medianSpeed(dir, records)
	if err != nil {
		return 0, err
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i, record := range records {
		runes := []rune(record)
		r.Shuffle(len(runes), func(i, j int) { runes[i], runes[j] = runes[j], runes[i] })
		records[i] = string(runes)
	}
	shuffled, err := medianSpeed(dir, records)
	return min(plain, shuffled), err
}

func medianSpeed(dir string, records []string) (mbPerSecond float64, err error) {
	var speeds []float64
	for range 5 {
		speed, err := encodeAll(dir, records)
		if err != nil {
			return 0, err
		}
		speeds = append(speeds, speed)
	}
	return median(speeds), nil
}

func encodeAll(dir string, records []string) (mbPerSecond float64, err error) {
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return 0, err
	}
	start, ids, bytes := time.Now(), 0, 0
	for _, record := range records {
		ids += len(tok.Encode(record))
		bytes += len(record)
	}
	if ids == 0 {
		return 0, fmt.Errorf("%s: no tokens", dir)
	}
	return float64(bytes) / 1e6 / time.Since(start).Seconds(), nil
}
