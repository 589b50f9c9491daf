package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"so8t/engine/safetensors"
)

// shardBytes is the size at which Hugging Face starts another file: 5 GB, so that Phi-3.5-mini has two.
const shardBytes = 5_000_000_000

// specs lists a model's tensors under their names in Hugging Face transformers.
func (s shape) specs() []safetensors.Spec {
	matrix := func(name string, rows, columns int) safetensors.Spec {
		return safetensors.Spec{Name: name, DType: "BF16", Shape: []int64{int64(rows), int64(columns)}}
	}
	norm := func(name string) safetensors.Spec {
		return safetensors.Spec{Name: name, DType: "BF16", Shape: []int64{int64(s.Hidden)}}
	}
	specs := []safetensors.Spec{matrix("model.embed_tokens.weight", s.Vocab, s.Hidden)}
	for i := range s.Layers {
		prefix := fmt.Sprintf("model.layers.%d.", i)
		for _, l := range s.linears() {
			specs = append(specs, matrix(prefix+l.name+".weight", l.rows, l.columns))
		}
		specs = append(specs, norm(prefix+"input_layernorm.weight"), norm(prefix+"post_attention_layernorm.weight"))
	}
	return append(specs, norm("model.norm.weight"), matrix("lm_head.weight", s.Vocab, s.Hidden))
}

// writeModel fills dir with a model of random weights and, unless empty, the tokenizer of another folder. It returns the weights' bytes.
func writeModel(ctx context.Context, dir string, s shape, tokenizer string, seed uint64) (int64, error) {
	specs := s.specs()
	var total int64
	for _, spec := range specs {
		n, err := spec.Bytes()
		if err != nil {
			return 0, err
		}
		total += n
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	if err := needFree(dir, total); err != nil {
		return 0, err
	}
	w, err := safetensors.NewShardedWriter(dir, specs, map[string]string{"format": "pt"}, shardBytes)
	if err != nil {
		return 0, err
	}
	fill := newFiller(seed)
	for i, spec := range w.Order() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := fill.append(w, spec, uint64(i)); err != nil {
			return 0, err
		}
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	config, err := json.MarshalIndent(s.config(), "", "  ")
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), append(config, '\n'), 0o644); err != nil {
		return 0, err
	}
	return total, copyTokenizer(dir, tokenizer)
}

// needFree is an error where dir lacks free space for that many bytes and a tenth more.
func needFree(dir string, bytes int64) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if free := int64(s.Bavail) * s.Bsize; free < bytes+bytes/10 {
		return fmt.Errorf("%s has %.1f GB free, the weights need %.1f GB", dir, float64(free)/1e9, float64(bytes)/1e9)
	}
	return nil
}

func copyTokenizer(dir, from string) error {
	if from == "" {
		return nil
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "generation_config.json"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) && name != "tokenizer.json" {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// filler draws normal numbers faster than a disk writes them: from a table of quantiles, indexed by random bits.
type filler struct {
	seed  uint64
	table [1 << 12]float32 // of the standard normal distribution
	chunk []byte
}

func newFiller(seed uint64) *filler {
	f := &filler{seed: seed, chunk: make([]byte, 16<<20)}
	n := float64(len(f.table))
	for i := range f.table {
		f.table[i] = float32(math.Sqrt2 * math.Erfinv(2*(float64(i)+0.5)/n-1))
	}
	return f
}

// append writes one tensor: ones for a norm, otherwise normal numbers of standard deviation 0.02, Phi-3's initializer_range.
func (f *filler) append(w *safetensors.ShardedWriter, spec safetensors.Spec, tensor uint64) error {
	const deviation = 0.02
	var values [len(f.table)]uint16
	for i, x := range f.table {
		if strings.HasSuffix(spec.Name, "norm.weight") {
			x = 1 / deviation
		}
		values[i] = bfloat16(x * deviation)
	}
	left, err := spec.Bytes()
	if err != nil {
		return err
	}
	for part := uint64(0); left > 0; part++ {
		chunk := f.chunk[:min(left, int64(len(f.chunk)))]
		f.fill(chunk, &values, f.seed<<48|tensor<<24|part<<8)
		if err := w.Append(spec.Name, chunk); err != nil {
			return err
		}
		left -= int64(len(chunk))
	}
	return nil
}

// fill draws the chunk in 64 parts, each from its own random stream, so that the result does not depend on the number of cores.
func (f *filler) fill(chunk []byte, values *[1 << 12]uint16, stream uint64) {
	const parts = 64
	size := (len(chunk)/parts + 8) &^ 7
	next := make(chan int, parts)
	for i := range parts {
		next <- i
	}
	close(next)
	var done sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		done.Go(func() {
			for i := range next {
				part := chunk[min(i*size, len(chunk)):min((i+1)*size, len(chunk))]
				r := rand.NewPCG(stream, uint64(i))
				bits, have := uint64(0), 0
				for ; len(part) >= 2; part = part[2:] {
					if have == 0 {
						bits, have = r.Uint64(), 5
					}
					binary.LittleEndian.PutUint16(part, values[bits&(1<<12-1)])
					bits, have = bits>>12, have-1
				}
			}
		})
	}
	done.Wait()
}

// bfloat16 rounds to nearest even; x is finite.
func bfloat16(x float32) uint16 {
	b := math.Float32bits(x)
	return uint16((b + 0x7FFF + b>>16&1) >> 16)
}
