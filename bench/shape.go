package main

import (
	"fmt"
	"maps"
	"slices"
)

// shape is the size of a Phi-3 model.
type shape struct {
	Hidden, Heads, KV, Inter, Layers, Vocab int
	MaxPositions, OriginalMax               int
	ShortFactor, LongFactor                 []float64 // of longrope; nil: plain rotary embedding
}

// shapes have the names that peft_train.py gives them.
var shapes = map[string]shape{
	"tiny":  {Hidden: 192, Heads: 2, KV: 2, Inter: 512, Layers: 4, Vocab: 2048, MaxPositions: 4096, OriginalMax: 4096},
	"100m":  {Hidden: 768, Heads: 8, KV: 8, Inter: 2048, Layers: 12, Vocab: 32064, MaxPositions: 4096, OriginalMax: 4096},
	"phi35": {Hidden: 3072, Heads: 32, KV: 32, Inter: 8192, Layers: 32, Vocab: 32064, MaxPositions: 131072, OriginalMax: 4096, ShortFactor: phi35Short, LongFactor: phi35Long},
}

func shapeNamed(name string) (shape, error) {
	s, ok := shapes[name]
	if !ok {
		return s, fmt.Errorf("shape %q is not one of %v", name, slices.Sorted(maps.Keys(shapes)))
	}
	return s, nil
}

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

// flops is the least arithmetic that one token of a LoRA step needs, every token a target: a frozen weight has a product forward and
// one backward (towards its input); an adapter has two more for its own gradients. The first layer's input needs no gradient, but every implementation
// computes nearly all of it. sequence is the length over which attention runs, half of it by causality; rank is that of one logical projection.
// Counted as separate adapters on q, k, v, gate and up.
func (s shape) flops(sequence, rank int) float64 {
	const multiplyAdd = 2
	frozen, adapters := 0.0, 0.0
	for _, l := range s.linears() {
		frozen += float64(l.rows) * float64(l.columns)
		adapters += float64(rank) * float64(l.slices*l.columns+l.rows)
	}
	attention := 2 * float64(sequence) / 2 * float64(s.Hidden) // scores and their product with the values
	perLayer := multiplyAdd * (2*frozen + 3*adapters + 3*attention)
	head := multiplyAdd * 2 * float64(s.Vocab) * float64(s.Hidden)
	return float64(s.Layers)*perLayer + head
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
