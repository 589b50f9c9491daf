package main

import (
	"maps"
	"slices"
)

// shape is the size of a Phi-3 model.
type shape struct {
	Hidden, Heads, KV, Inter, Layers, Vocab int
	MaxPositions, OriginalMax               int
	ShortFactor, LongFactor                 []float64 // of longrope; nil: plain rotary embedding
}

// shapes are those of peft_train.py, and 1b, whose weights outgrow every cache.
var shapes = map[string]shape{
	"tiny": {Hidden: 192, Heads: 2, KV: 2, Inter: 512, Layers: 4, Vocab: 2048, MaxPositions: 4096, OriginalMax: 4096},
	"100m": {Hidden: 768, Heads: 8, KV: 8, Inter: 2048, Layers: 12, Vocab: 32064, MaxPositions: 4096, OriginalMax: 4096},
	"1b":   {Hidden: 2048, Heads: 16, KV: 16, Inter: 5632, Layers: 20, Vocab: 32064, MaxPositions: 4096, OriginalMax: 4096},
	"phi35": {Hidden: 3072, Heads: 32, KV: 32, Inter: 8192, Layers: 32, Vocab: 32064, MaxPositions: 131072, OriginalMax: 4096,
		ShortFactor: phi35Short, LongFactor: phi35Long},
}

var shapeNames = slices.Sorted(maps.Keys(shapes))

// headDim is the width of one head.
func (s shape) headDim() int { return s.Hidden / s.Heads }

// linears are a layer's fused matrices as [rows, columns], and how many LoRA slices each is made of.
func (s shape) linears() []linear {
	kv := s.KV * s.headDim()
	return []linear{
		{"self_attn.qkv_proj", s.Hidden + 2*kv, s.Hidden, 3},
		{"self_attn.o_proj", s.Hidden, s.Hidden, 1},
		{"mlp.gate_up_proj", 2 * s.Inter, s.Hidden, 2},
		{"mlp.down_proj", s.Hidden, s.Inter, 1},
	}
}

type linear struct {
	name                  string
	rows, columns, slices int
}

// forward is the least arithmetic of one token's forward pass, in FLOP: products with the layers' frozen weights, with the adapters on q, k,
// v, o, gate, up and down, attention over half a sequence by causality, lm_head. rank is that of one adapter.
func (s shape) forward(sequence, rank int) (frozen, adapters, attention, head float64) {
	const multiplyAdd = 2
	for _, l := range s.linears() {
		frozen += float64(l.rows) * float64(l.columns)
		adapters += float64(rank) * float64(l.slices*l.columns+l.rows)
	}
	attention = 2 * float64(sequence) / 2 * float64(s.Hidden) // scores, and their product with the values
	layers := multiplyAdd * float64(s.Layers)
	return layers * frozen, layers * adapters, layers * attention, multiplyAdd * float64(s.Vocab) * float64(s.Hidden)
}

// flops is the least arithmetic that one token of a LoRA step needs, every token a target. A frozen weight has one product backward,
// towards its input; an adapter and attention have two, for their own gradients too. The first layer's input needs no gradient, but
// every implementation computes nearly all of it.
func (s shape) flops(sequence, rank int) float64 {
	frozen, adapters, attention, head := s.forward(sequence, rank)
	return 2*frozen + 3*adapters + 3*attention + 2*head
}

// leastSeconds is what that arithmetic takes of an H100 or H200, a token: with all products in bfloat16 at 790 TFLOP/s, and with
// the frozen weights' forward products in int8 at twice that. recompute adds the layers' second forward pass.
func (s shape) leastSeconds(sequence, rank int, recompute bool) (bf16, int8 float64) {
	const rate = 790e12
	frozen, adapters, attention, _ := s.forward(sequence, rank)
	flops := s.flops(sequence, rank)
	if recompute {
		flops += frozen + adapters + attention
		frozen *= 2
	}
	return flops / rate, (flops - frozen/2) / rate
}

// config is config.json of the shape, in the form that Phi-3.5-mini ships.
func (s shape) config() map[string]any {
	c := map[string]any{
		"architectures": []string{"Phi3ForCausalLM"}, "model_type": "phi3", "torch_dtype": "bfloat16",
		"hidden_size": s.Hidden, "num_attention_heads": s.Heads, "num_key_value_heads": s.KV, "intermediate_size": s.Inter,
		"num_hidden_layers": s.Layers, "vocab_size": s.Vocab,
		"max_position_embeddings": s.MaxPositions, "original_max_position_embeddings": s.OriginalMax,
		"rope_theta": 10000.0, "rope_scaling": nil, "partial_rotary_factor": 1.0, "rms_norm_eps": 1e-5, "hidden_act": "silu",
		"attention_bias": false, "attention_dropout": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
		"tie_word_embeddings": false, "sliding_window": nil, "initializer_range": 0.02,
		"bos_token_id": 1, "eos_token_id": min(32000, s.Vocab-1), "pad_token_id": min(32000, s.Vocab-1), "use_cache": true,
	}
	if s.LongFactor != nil {
		c["rope_scaling"] = map[string]any{"type": "longrope", "short_factor": s.ShortFactor, "long_factor": s.LongFactor}
		c["sliding_window"] = 262144
	}
	return c
}
