package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"so8t/engine/safetensors"
)

// Numbers of the GGUF format, version 3: github.com/ggml-org/ggml/blob/master/docs/gguf.md.
const (
	ggufUint32, ggufFloat32, ggufString = 4, 6, 8
	ggmlF32, ggmlQ8                     = 0, 8
	ggufAlignment                       = 32
	q8Block, q8BlockBytes               = 32, 34 // numbers of a Q8_0 block; a float16 scale and as many int8
)

// writeGGUF converts a model folder written by writeModel for llama.cpp: every matrix in Q8_0, embedding and head too as
// llama.cpp's own converter does, norms in float32, no tokenizer.
func writeGGUF(ctx context.Context, path, base string, s shape) (err error) {
	model, err := safetensors.OpenModel(base)
	if err != nil {
		return err
	}
	defer model.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	header := ggufHeader(s)
	if _, err := w.Write(header); err != nil {
		return err
	}
	if _, err := w.Write(make([]byte, padding(len(header)))); err != nil {
		return err
	}
	for _, spec := range s.specs() {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, ok := model.Tensor(spec.Name)
		if !ok {
			return fmt.Errorf("%s: no tensor %s", base, spec.Name)
		}
		data := ggufData(t.Data, spec)
		if _, err := w.Write(append(data, make([]byte, padding(len(data)))...)); err != nil {
			return err
		}
		model.Release(spec.Name)
	}
	return w.Flush()
}

func padding(n int) int { return (ggufAlignment - n%ggufAlignment) % ggufAlignment }

// ggufHeader is everything before the tensors' data: counts, keys, and each tensor's name, shape, type and offset.
func ggufHeader(s shape) []byte {
	specs, keys := s.specs(), s.ggufKeys()
	b := []byte("GGUF")
	b = binary.LittleEndian.AppendUint32(b, 3)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(specs)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(keys)))
	text := func(x string) { b = append(binary.LittleEndian.AppendUint64(b, uint64(len(x))), x...) }
	for _, k := range keys {
		text(k.name)
		switch v := k.value.(type) {
		case string:
			b = binary.LittleEndian.AppendUint32(b, ggufString)
			text(v)
		case int:
			b = binary.LittleEndian.AppendUint32(b, ggufUint32)
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		case float32:
			b = binary.LittleEndian.AppendUint32(b, ggufFloat32)
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	offset := 0
	for _, spec := range specs {
		text(ggufName(spec.Name))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(spec.Shape)))
		elements := 1
		for i := range spec.Shape { // the innermost dimension first
			n := spec.Shape[len(spec.Shape)-1-i]
			b = binary.LittleEndian.AppendUint64(b, uint64(n))
			elements *= int(n)
		}
		kind, bytes := uint32(ggmlQ8), elements/q8Block*q8BlockBytes
		if len(spec.Shape) == 1 {
			kind, bytes = ggmlF32, 4*elements
		}
		b = binary.LittleEndian.AppendUint32(b, kind)
		b = binary.LittleEndian.AppendUint64(b, uint64(offset))
		offset += bytes + padding(bytes)
	}
	return b
}

type ggufKey struct {
	name  string
	value any // string, int or float32
}

func (s shape) ggufKeys() []ggufKey {
	const q8FileType = 7 // LLAMA_FTYPE_MOSTLY_Q8_0
	return []ggufKey{
		{"general.architecture", "phi3"}, {"general.file_type", q8FileType}, {"general.alignment", ggufAlignment},
		{"phi3.context_length", s.MaxPositions}, {"phi3.embedding_length", s.Hidden}, {"phi3.feed_forward_length", s.Inter},
		{"phi3.block_count", s.Layers}, {"phi3.attention.head_count", s.Heads}, {"phi3.attention.head_count_kv", s.KV},
		{"phi3.attention.layer_norm_rms_epsilon", float32(1e-5)}, {"phi3.rope.dimension_count", s.headDim()}, {"phi3.rope.freq_base", float32(10000)},
		{"phi3.rope.scaling.original_context_length", s.OriginalMax}, {"phi3.attention.sliding_window", 0}, {"phi3.vocab_size", s.Vocab},
		{"tokenizer.ggml.model", "no_vocab"},
	}
}

// ggufName is llama.cpp's name of a tensor of Hugging Face transformers.
func ggufName(name string) string {
	return strings.NewReplacer("model.layers.", "blk.", "model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output",
		"post_attention_layernorm", "ffn_norm", "input_layernorm", "attn_norm", "self_attn.qkv_proj", "attn_qkv", "self_attn.o_proj", "attn_output",
		"mlp.gate_up_proj", "ffn_up", "mlp.down_proj", "ffn_down").Replace(name)
}

// ggufData converts a bfloat16 tensor: a vector to float32, a matrix to Q8_0.
func ggufData(data []byte, spec safetensors.Spec) []byte {
	at := func(i int) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16) }
	n := len(data) / 2
	if len(spec.Shape) == 1 {
		var out bytes.Buffer
		for i := range n {
			_ = binary.Write(&out, binary.LittleEndian, at(i))
		}
		return out.Bytes()
	}
	out := make([]byte, 0, n/q8Block*q8BlockBytes+ggufAlignment)
	for first := 0; first < n; first += q8Block {
		largest := float32(0)
		for i := range q8Block {
			largest = max(largest, float32(math.Abs(float64(at(first+i)))))
		}
		scale, inverse := largest/127, float32(0)
		if scale > 0 {
			inverse = 1 / scale
		}
		out = binary.LittleEndian.AppendUint16(out, float16(scale))
		for i := range q8Block {
			out = append(out, byte(int8(math.Round(float64(at(first+i)*inverse)))))
		}
	}
	return out
}

// float16 rounds a number of [0, 65504] to nearest even.
func float16(x float32) uint16 {
	const smallestNormal = 1.0 / (1 << 14)
	if x < smallestNormal {
		return uint16(math.RoundToEven(float64(x) * (1 << 24)))
	}
	b := math.Float32bits(x) - (127-15)<<23
	return uint16((b + 0xFFF + b>>13&1) >> 13)
}
