package phi3

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"so8t/fuzzguard"
)

// FuzzConfig: whatever config.json says, one line answers; what is accepted has sizes that are positive and fit
// each other, and rotary angles that are numbers.
func FuzzConfig(f *testing.F) {
	seeds, err := filepath.Glob("../../testdata/oracle/phi3/*/config.json")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no configurations to begin with: %v", err)
	}
	for _, path := range append(seeds, "../../demo/base/config.json") {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "", "")
	}
	f.Add([]byte("{\"model_type\":[\n0]}"), "", "")
	f.Add([]byte(`{"model_type":"phi3","vocab_size":8,"hidden_size":1048576,"intermediate_size":16777216,`+
		`"num_hidden_layers":16777216,"num_attention_heads":1}`), "", "")
	for key, value := range map[string]string{"num_attention_heads": "3", "eos_token_id": "[1, 2]", "layer_types": `["full_attention"]`, "rms_norm_eps": "-1",
		"rope_scaling": `{"type":"longrope","short_factor":[1],"long_factor":[1e-40],"factor":2}`, "rope_theta": "1e39", "sliding_window": "64",
		"rope_parameters": `{"rope_type":"default","rope_theta":1e4,"partial_rotary_factor":0.5,"attention_factor":1}`, "hidden_size": "16777216",
		"novelty": "\n"} {
		f.Add([]byte(`{"model_type":"phi3","vocab_size":8,"hidden_size":2,"intermediate_size":3,"num_hidden_layers":1,"num_attention_heads":1}`), key, value)
	}
	f.Fuzz(func(t *testing.T, text []byte, key, value string) {
		if key != "" {
			text = withKey(text, key, value)
		}
		var c *Config
		var err error
		fuzzguard.Call(t, len(text), fuzzguard.Bound{PerByte: 64, Fixed: 1 << 14}, func() { c, err = parseConfig(text) })
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of several lines: %q", err)
			}
			return
		}
		for name, n := range map[string]int{"vocab": c.VocabSize, "head": c.HeadDim(), "kv": c.KVSize(), "qkv": c.QKVSize(), "rotary": c.RotaryDim(),
			"intermediate": c.IntermediateSize, "layers": c.NumHiddenLayers, "positions": c.MaxPositionEmbeddings, "original": c.Rope.OriginalMax} {
			if n <= 0 || int(int32(n)) != n {
				t.Fatalf("%s is %d", name, n)
			}
		}
		layer := float64(c.HiddenSize) * (float64(c.QKVSize()) + float64(c.HiddenSize) + 3*float64(c.IntermediateSize) + 2)
		least := layer * float64(c.NumHiddenLayers)
		if p := float64(c.Parameters()); p < least*(1-1e-9) {
			t.Fatalf("%g parameters, the layers alone have %g", p, least)
		}
		if c.HeadDim()*c.NumAttentionHeads != c.HiddenSize || c.NumAttentionHeads%c.NumKeyValueHeads != 0 || c.RotaryDim()%2 != 0 ||
			c.RotaryDim() > c.HeadDim() {
			t.Fatalf("sizes do not fit: %+v", c)
		}
		if !(c.RMSNormEps >= 0 && c.RMSNormEps < 1) {
			t.Fatalf("rms_norm_eps is %g", c.RMSNormEps)
		}
		factors := []float64{1}
		if c.Rope.LongRope {
			if len(c.Rope.ShortFactor) != c.RotaryDim()/2 || len(c.Rope.LongFactor) != c.RotaryDim()/2 {
				t.Fatalf("%d and %d factors for %d dimensions", len(c.Rope.ShortFactor), len(c.Rope.LongFactor), c.RotaryDim())
			}
			factors = append(c.Rope.ShortFactor, c.Rope.LongFactor...)
		}
		for _, factor := range append(factors, c.Rope.Theta, c.Rope.AttentionFactor) {
			if inverse := 1 / float32(factor); !(inverse > 0) || math.IsInf(float64(inverse), 0) || math.IsInf(float64(float32(factor)), 0) {
				t.Fatalf("a factor of %g turns the angles into no numbers", factor)
			}
		}
	})
}

// withKey sets one key of a JSON object, so that the fuzzer need not find the rest.
func withKey(text []byte, key, value string) []byte {
	object := map[string]json.RawMessage{}
	if json.Unmarshal(text, &object) != nil || !json.Valid([]byte(value)) {
		return text
	}
	object[key] = json.RawMessage(value)
	changed, err := json.MarshalIndent(object, "", " ")
	if err != nil {
		return text
	}
	return changed
}
