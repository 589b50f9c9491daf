package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"so8t/dataset"
	"so8t/tokenizer"
)

// tokens is `bench tokens`.
func tokens(_ context.Context, args []string) error {
	f := flag.NewFlagSet("tokens", flag.ContinueOnError)
	dir := f.String("tokenizer", "demo/base", "folder of tokenizer.json")
	if err := f.Parse(args); err != nil {
		return err
	}
	speed, err := tokenizerSpeed(*dir)
	if err != nil {
		return err
	}
	return printJSON(map[string]any{"tokenizer": *dir, "tokenizer_mb_per_second": speed})
}

// readRecords joins instructions and answers of a file of records.
func readRecords(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b strings.Builder
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var r dataset.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return "", fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		b.WriteString(r.Instruction + "\n" + r.Output + "\n")
	}
	return b.String(), lines.Err()
}

// tokenizerSpeed is the megabytes of UTF-8 that Encode takes a second, on one core, record by record, as a split does it: the median of several
// passes over the demo's text, or over the same with each record's characters shuffled, whichever is slower. The first repeats itself more than real text does,
// which a cache of words rewards, the second never. The tokenizer is loaded afresh for every pass.
func tokenizerSpeed(dir string) (mbPerSecond float64, err error) {
	text, err := demoText()
	if err != nil {
		return 0, err
	}
	records := strings.SplitAfter(text, "</final>\n")
	var speeds, shuffled []float64
	for range 5 {
		speed, err := encodeAll(dir, records)
		if err != nil {
			return 0, err
		}
		speeds = append(speeds, speed)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i, record := range records {
		runes := []rune(record)
		r.Shuffle(len(runes), func(i, j int) { runes[i], runes[j] = runes[j], runes[i] })
		records[i] = string(runes)
	}
	for range 5 {
		speed, err := encodeAll(dir, records)
		if err != nil {
			return 0, err
		}
		shuffled = append(shuffled, speed)
	}
	return min(median(speeds), median(shuffled)), nil
}

func encodeAll(dir string, records []string) (mbPerSecond float64, err error) {
	t, err := tokenizer.Load(dir)
	if err != nil {
		return 0, err
	}
	start, ids, bytes := time.Now(), 0, 0
	for _, record := range records {
		ids += len(t.Encode(record))
		bytes += len(record)
	}
	if ids == 0 {
		return 0, fmt.Errorf("%s: no tokens", dir)
	}
	return float64(bytes) / 1e6 / time.Since(start).Seconds(), nil
}
