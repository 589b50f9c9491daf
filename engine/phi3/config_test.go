package phi3

import (
	"math"
	"strings"
	"testing"
)

const phi35 = `{"architectures":["Phi3ForCausalLM"],"attention_bias":false,"attention_dropout":0.0,"bos_token_id":1,"embd_pdrop":0.0,
"eos_token_id":32000,"hidden_act":"silu","hidden_size":64,"intermediate_size":128,"max_position_embeddings":131072,"model_type":"phi3",
"num_attention_heads":4,"num_hidden_layers":2,"num_key_value_heads":4,"original_max_position_embeddings":4096,"pad_token_id":32000,
"resid_pdrop":0.0,"rms_norm_eps":1e-05,"rope_scaling":{"long_factor":[1,2,3,4,5,6,7,8],"short_factor":[1,1,1,1,1,1,1,1],"type":"longrope"},
"rope_theta":10000.0,"sliding_window":262144,"tie_word_embeddings":false,"torch_dtype":"bfloat16","transformers_version":"4.43.3",
"use_cache":true,"attention_bias":false,"vocab_size":32064}`

func TestConfigForms(t *testing.T) {
	old, err := parseConfig([]byte(phi35))
	if err != nil {
		t.Fatal(err)
	}
	if want := math.Sqrt(1 + math.Log(32)/math.Log(4096)); math.Abs(old.Rope.AttentionFactor-want) > 1e-12 {
		t.Errorf("attention factor %v, want %v", old.Rope.AttentionFactor, want)
	}
	if old.SlidingWindow != 262144 || old.RotaryDim() != 16 || old.QKVSize() != 192 || old.EOSTokenIDs[0] != 32000 {
		t.Errorf("%+v", old)
	}
	five := strings.Replace(phi35, `"rope_scaling":{`,
		`"rope_parameters":{"rope_theta":10000.0,"partial_rotary_factor":1.0,"original_max_position_embeddings":4096,`, 1)
	five = strings.Replace(five, `"type":"longrope"`, `"rope_type":"longrope"`, 1)
	five = strings.Replace(strings.Replace(five, `"rope_theta":10000.0,"sliding`, `"sliding`, 1), `"torch_dtype"`, `"dtype"`, 1)
	got, err := parseConfig([]byte(five))
	if err != nil {
		t.Fatal(err)
	}
	if got.Rope.AttentionFactor != old.Rope.AttentionFactor || got.Rope.Theta != old.Rope.Theta || got.Rope.LongFactor[7] != 8 {
		t.Errorf("transformers 5: %+v, before: %+v", got.Rope, old.Rope)
	}
}

func TestConfigRefusals(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{`"model_type":"phi3"`, `"model_type":"llama"`, `model_type: "llama"`},
		{`"hidden_act":"silu"`, `"hidden_act":"gelu"`, `hidden_act: "gelu"`},
		{`"resid_pdrop":0.0`, `"resid_pdrop":0.1`, "resid_pdrop: 0.1"},
		{`"attention_bias":false`, `"attention_bias":true`, "attention_bias: true"},
		{`"type":"longrope"`, `"type":"llama3"`, `"llama3"`},
		{`[1,2,3,4,5,6,7,8]`, `[1,2,3]`, "long_factor: has 3"},
		{`"vocab_size":32064`, `"vocab_size":"many"`, "vocab_size"},
		{`"vocab_size":32064`, `"vocab_size":32064,"quantization_config":{"bits":4}`, "quantization_config"},
		{`"num_key_value_heads":4`, `"num_key_value_heads":3`, "num_key_value_heads 3"},
		{`"hidden_size":64,`, ``, "hidden_size: missing"},
	} {
		text := strings.ReplaceAll(phi35, c.from, c.to)
		if text == phi35 {
			t.Fatalf("%s does not occur", c.from)
		}
		if _, err := parseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not name %q", c.to, err, c.want)
		}
	}
}
