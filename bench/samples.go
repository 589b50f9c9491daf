package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"so8t/dataset"
	"so8t/dataset/record"
	"so8t/tokenizer"
)

// randomSamples are n samples of random tokens, drawn when asked for, every token a target.
type randomSamples struct {
	n       int
	lengths []int // of the samples in turn
	vocab   int
}

func (s randomSamples) Len() int { return s.n }

func (s randomSamples) At(i int) dataset.Sample {
	r := rand.New(rand.NewPCG(1, uint64(i)))
	ids := make([]int32, s.lengths[i%len(s.lengths)])
	for j := range ids {
		ids[j] = int32(3 + r.IntN(s.vocab-3))
	}
	return dataset.Sample{InputIDs: ids, Labels: ids}
}

// fixedSamples are samples in memory.
type fixedSamples []dataset.Sample

func (s fixedSamples) Len() int                { return len(s) }
func (s fixedSamples) At(i int) dataset.Sample { return s[i] }

// textSamples are as many samples of the same lengths as like has, cut from the text of the demo's records.
func textSamples(base string, like randomSamples) (fixedSamples, error) {
	tok, err := tokenizer.Load(base)
	if err != nil {
		return nil, err
	}
	if tok.VocabSize() > like.vocab {
		return nil, fmt.Errorf("%s: the tokenizer has %d tokens, the model %d", base, tok.VocabSize(), like.vocab)
	}
	text, err := demoText()
	if err != nil {
		return nil, err
	}
	ids := tok.Encode(text)
	var out fixedSamples
	next := 0
	for i := range like.n {
		sample := make([]int32, like.lengths[i%len(like.lengths)])
		for j := range sample {
			sample[j] = ids[next%len(ids)]
			next++
		}
		out = append(out, dataset.Sample{InputIDs: sample, Labels: sample})
	}
	return out, nil
}

// demoText is the Japanese text of the demo's records, instructions and answers.
func demoText() (string, error) {
	paths, err := filepath.Glob("demo/data/*.jsonl")
	if err != nil || len(paths) == 0 {
		return "", fmt.Errorf("demo/data/*.jsonl: not found from here; run from the repository's root (%v)", err)
	}
	return readRecords(paths[0])
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
		var r record.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return "", fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		b.WriteString(r.Instruction + "\n" + r.Output + "\n")
	}
	return b.String(), lines.Err()
}
