// Package phi3 is the Phi-3 language model as Hugging Face computes it: configuration, weights, forward and
// backward pass, and decoding with a key/value cache, each a sequence of native operations.
package phi3

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// Config is config.json of a Phi3ForCausalLM, with the names of transformers' Phi3Config.
type Config struct {
	VocabSize             int
	HiddenSize            int
	IntermediateSize      int
	NumHiddenLayers       int
	NumAttentionHeads     int
	NumKeyValueHeads      int
	MaxPositionEmbeddings int
	RMSNormEps            float64
	TieWordEmbeddings     bool
	SlidingWindow         int // 0: none
	EOSTokenIDs           []int32
	PadTokenID            int32
	Rope                  Rope
}

// Rope is the rotary embedding: config.json's rope_theta and rope_scaling, or rope_parameters of transformers 5.
type Rope struct {
	Theta               float64
	PartialRotaryFactor float64
	LongRope            bool
	ShortFactor         []float64 // [rotary dimensions / 2]
	LongFactor          []float64 // [rotary dimensions / 2]
	OriginalMax         int       // positions beyond which the long factors apply
	AttentionFactor     float64   // multiplies cos and sin
}

// HeadDim is the width of one attention head.
func (c *Config) HeadDim() int { return c.HiddenSize / c.NumAttentionHeads }

// KVSize is the width of the keys (and of the values) of one token.
func (c *Config) KVSize() int { return c.NumKeyValueHeads * c.HeadDim() }

// QKVSize is the number of rows of the fused qkv_proj.
func (c *Config) QKVSize() int { return c.HiddenSize + 2*c.KVSize() }

// RotaryDim is the number of leading dimensions of a head that are rotated.
func (c *Config) RotaryDim() int {
	return int(float64(c.HeadDim()) * c.Rope.PartialRotaryFactor)
}

// Parameters counts the base's weights.
func (c *Config) Parameters() int64 {
	h, i := int64(c.HiddenSize), int64(c.IntermediateSize)
	layer := h*int64(c.QKVSize()) + h*h + 3*h*i + 2*h
	total := int64(c.NumHiddenLayers)*layer + h + int64(c.VocabSize)*h
	if !c.TieWordEmbeddings {
		total += int64(c.VocabSize) * h
	}
	return total
}

// keys of config.json that do not change what the model computes here.
var inert = []string{"architectures", "auto_map", "_name_or_path", "transformers_version", "use_cache", "initializer_range",
	"bos_token_id", "torch_dtype", "dtype", "_attn_implementation", "_attn_implementation_autoset", "return_dict", "output_hidden_states",
	"output_attentions", "chunk_size_feed_forward", "id2label", "label2id", "problem_type", "torchscript", "task_specific_params",
	"embd_layer_norm", "gradient_checkpointing", "_commit_hash", "tokenizer_class", "prefix", "finetuning_task", "max_length"}

// LoadConfig reads dir/config.json. A key that would change the result and is not implemented is an error that names it.
func LoadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the base model's configuration: %w", err)
	}
	c, err := parseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseConfig(data []byte) (*Config, error) {
	r := &reader{}
	if err := json.Unmarshal(data, &r.keys); err != nil {
		return nil, err
	}
	var modelType, act string
	c := &Config{}
	r.required("model_type", &modelType)
	if r.err == nil && modelType != "phi3" {
		return nil, fmt.Errorf("model_type: %q is not supported, only \"phi3\"", modelType)
	}
	r.required("vocab_size", &c.VocabSize)
	r.required("hidden_size", &c.HiddenSize)
	r.required("intermediate_size", &c.IntermediateSize)
	r.required("num_hidden_layers", &c.NumHiddenLayers)
	r.required("num_attention_heads", &c.NumAttentionHeads)
	c.NumKeyValueHeads = c.NumAttentionHeads
	r.optional("num_key_value_heads", &c.NumKeyValueHeads)
	c.MaxPositionEmbeddings = 4096
	r.optional("max_position_embeddings", &c.MaxPositionEmbeddings)
	c.RMSNormEps = 1e-5
	r.optional("rms_norm_eps", &c.RMSNormEps)
	r.optional("tie_word_embeddings", &c.TieWordEmbeddings)
	r.optional("sliding_window", &c.SlidingWindow)
	r.optional("pad_token_id", &c.PadTokenID)
	r.eos(&c.EOSTokenIDs)
	act = "silu"
	r.optional("hidden_act", &act)
	if r.err == nil && act != "silu" {
		return nil, fmt.Errorf("hidden_act: %q is not supported, only \"silu\"", act)
	}
	for _, key := range []string{"attention_dropout", "embd_pdrop", "resid_pdrop"} {
		p := 0.0
		r.optional(key, &p)
		if r.err == nil && p != 0 {
			return nil, fmt.Errorf("%s: %v is not supported, only 0", key, p)
		}
	}
	bias := false
	r.optional("attention_bias", &bias)
	if bias {
		return nil, fmt.Errorf("attention_bias: true is not supported")
	}
	r.rope(c)
	r.layerTypes(c)
	if r.err != nil {
		return nil, r.err
	}
	if rest := r.rest(); len(rest) > 0 {
		return nil, fmt.Errorf("%s: this key is not implemented and may change what the model computes", oneLine(rest[0]))
	}
	return c, c.validate()
}

func (c *Config) validate() error {
	const layers, width, positions = 1 << 16, 1 << 20, 1 << 24 // far above any model, and their products fit an int64
	for _, v := range []struct {
		name        string
		value, most int
	}{{"vocab_size", c.VocabSize, width}, {"hidden_size", c.HiddenSize, width}, {"intermediate_size", c.IntermediateSize, width},
		{"num_hidden_layers", c.NumHiddenLayers, layers}, {"num_attention_heads", c.NumAttentionHeads, width},
		{"num_key_value_heads", c.NumKeyValueHeads, width},
		{"max_position_embeddings", c.MaxPositionEmbeddings, positions}, {"original_max_position_embeddings", c.Rope.OriginalMax, positions}} {
		if v.value <= 0 || v.value > v.most {
			return fmt.Errorf("%s: %d is out of range", v.name, v.value)
		}
	}
	if !(c.RMSNormEps >= 0 && c.RMSNormEps < 1) {
		return fmt.Errorf("rms_norm_eps: %v is out of range", c.RMSNormEps)
	}
	if c.HiddenSize%c.NumAttentionHeads != 0 {
		return fmt.Errorf("hidden_size: %d is not a multiple of num_attention_heads %d", c.HiddenSize, c.NumAttentionHeads)
	}
	if c.NumAttentionHeads%c.NumKeyValueHeads != 0 {
		return fmt.Errorf("num_attention_heads: %d is not a multiple of num_key_value_heads %d", c.NumAttentionHeads, c.NumKeyValueHeads)
	}
	if c.SlidingWindow < 0 {
		return fmt.Errorf("sliding_window: %d is negative", c.SlidingWindow)
	}
	if d := c.RotaryDim(); d <= 0 || d%2 != 0 || d > c.HeadDim() {
		return fmt.Errorf("partial_rotary_factor: %v of a head of %d gives %d rotated dimensions, which must be even and positive",
			c.Rope.PartialRotaryFactor, c.HeadDim(), d)
	}
	if c.Rope.LongRope {
		for name, f := range map[string][]float64{"short_factor": c.Rope.ShortFactor, "long_factor": c.Rope.LongFactor} {
			if len(f) != c.RotaryDim()/2 {
				return fmt.Errorf("%s: has %d numbers, the rotated dimensions need %d", name, len(f), c.RotaryDim()/2)
			}
			for _, factor := range f {
				if err := positive(name, factor); err != nil {
					return err
				}
			}
		}
	}
	if err := positive("rope_theta", c.Rope.Theta); err != nil {
		return err
	}
	return positive("attention_factor", c.Rope.AttentionFactor)
}

// positive refuses numbers that make an angle, or the factor of its cosine, infinite or NaN in float32.
func positive(name string, v float64) error {
	if !(v >= 1e-9 && v <= 1e15) {
		return fmt.Errorf("%s: %v is out of range", name, v)
	}
	return nil
}

// reader takes keys out of a JSON object and keeps the first error.
type reader struct {
	keys map[string]json.RawMessage
	err  error
}

func (r *reader) take(key string, into any) bool {
	raw, ok := r.keys[key]
	delete(r.keys, key)
	if !ok || r.err != nil || string(raw) == "null" {
		return false
	}
	if err := json.Unmarshal(raw, into); err != nil {
		r.err = fmt.Errorf("%s: %s is not of the expected type", key, oneLine(string(raw)))
		return false
	}
	return true
}

func (r *reader) optional(key string, into any) { r.take(key, into) }

func (r *reader) required(key string, into any) {
	if !r.take(key, into) && r.err == nil {
		r.err = fmt.Errorf("%s: missing", key)
	}
}

func (r *reader) eos(into *[]int32) {
	if raw, ok := r.keys["eos_token_id"]; ok && len(raw) > 0 && raw[0] != '[' {
		var one int32
		if r.take("eos_token_id", &one) {
			*into = []int32{one}
		}
		return
	}
	r.take("eos_token_id", into)
}

func (r *reader) rope(c *Config) {
	var scaling map[string]json.RawMessage
	if !r.take("rope_parameters", &scaling) {
		r.take("rope_scaling", &scaling)
	} else {
		delete(r.keys, "rope_scaling")
	}
	s := &reader{keys: scaling, err: r.err}
	kind := "default"
	s.optional("type", &kind)
	s.optional("rope_type", &kind)
	switch kind {
	case "default":
	case "longrope", "su", "yarn": // the names of longrope in Phi-3's first releases
		c.Rope.LongRope = true
	default:
		s.err = fmt.Errorf("rope_scaling: type %q is not supported, only \"default\" and \"longrope\"", kind)
	}
	rope := &c.Rope
	rope.Theta, rope.PartialRotaryFactor = 10000, 1
	r.optional("rope_theta", &rope.Theta)
	s.optional("rope_theta", &rope.Theta)
	r.optional("partial_rotary_factor", &rope.PartialRotaryFactor)
	s.optional("partial_rotary_factor", &rope.PartialRotaryFactor)
	rope.OriginalMax = 4096
	s.optional("original_max_position_embeddings", &rope.OriginalMax)
	r.optional("original_max_position_embeddings", &rope.OriginalMax) // transformers prefers the outer one
	s.optional("short_factor", &rope.ShortFactor)
	s.optional("long_factor", &rope.LongFactor)
	factor := 0.0
	s.optional("factor", &factor)
	s.optional("attention_factor", &rope.AttentionFactor)
	if s.err == nil {
		if rest := s.rest(); len(rest) > 0 {
			s.err = fmt.Errorf("rope_scaling.%s: not implemented", oneLine(rest[0]))
		}
	}
	if s.err == nil && rope.OriginalMax <= 1 {
		s.err = fmt.Errorf("original_max_position_embeddings: %d is out of range", rope.OriginalMax)
	}
	r.err = s.err
	if !rope.LongRope {
		rope.AttentionFactor = 1
		return
	}
	if factor == 0 {
		factor = float64(c.MaxPositionEmbeddings) / float64(rope.OriginalMax)
	}
	if rope.AttentionFactor == 0 {
		rope.AttentionFactor = 1
		if factor > 1 {
			rope.AttentionFactor = math.Sqrt(1 + math.Log(factor)/math.Log(float64(rope.OriginalMax)))
		}
	}
}

// layerTypes accepts the list that transformers 5 may write if it agrees with sliding_window.
func (r *reader) layerTypes(c *Config) {
	want := "full_attention"
	if c.SlidingWindow > 0 {
		want = "sliding_attention"
	}
	var types []string
	r.optional("layer_types", &types)
	for _, t := range types {
		if t != want && r.err == nil {
			r.err = fmt.Errorf("layer_types: %q beside sliding_window %d is not supported", t, c.SlidingWindow)
		}
	}
}

func (r *reader) rest() []string {
	var rest []string
	for key, raw := range r.keys {
		if !slices.Contains(inert, key) && string(raw) != "null" {
			rest = append(rest, key)
		}
	}
	sort.Strings(rest)
	return rest
}

// oneLine shortens a text from the file to fit the single line of an error.
func oneLine(text string) string {
	return strings.Join(strings.Fields(fmt.Sprintf("%.60s", text)), " ")
}
