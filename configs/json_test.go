package configs

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// A Config comes back from a workflow's history as it went in, whichever key was set.
func TestConfigThroughJSON(t *testing.T) {
	of := func(c *Config) []leaf { return leaves(reflect.ValueOf(c).Elem(), "", nil) }
	standard := Default()
	for i, l := range of(&standard) {
		c := Default()
		c.Data.InputPath = Paths{"d.jsonl"}
		of(&c)[i].change(t)
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var again Config
		if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("%s: %v\n%+v\n%+v", l.key, err, c, again)
		}
	}
	for _, kinds := range []map[string]string{nil, {}, {"email": "mask"}} {
		c := Default()
		c.Policy.PIIKinds = kinds
		text, _ := json.Marshal(c)
		var again Config
		if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("policy.pii_kinds %v came back as %v, %v", kinds, again.Policy.PIIKinds, err)
		}
	}
}

// The input of runs that began before lists, forms and policies were there: their added keys have the defaults.
func TestConfigOfTheFirstRelease(t *testing.T) {
	const text = `{"output_dir":"out","device":"cpu","threads":0,"data":{"input_path":"demo/data/*.jsonl","max_seq_length":256,
		"use_quadruple_thinking":true,"max_bad_fraction":0.01},"model":{"base_model_path":"demo/base","load_in_8bit":true},
		"training":{"num_train_epochs":2,"seed":0},"so8t":{"enabled":true,"layers":null}}`
	var c Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	want := Default().Data
	want.InputPath, want.MaxSeqLength = Paths{"demo/data/*.jsonl"}, 256
	if !reflect.DeepEqual(c.Data, want) || !reflect.DeepEqual(c.Policy, Default().Policy) {
		t.Errorf("%+v\n%+v", c.Data, c.Policy)
	}
	if c.Training.Seed != 0 || c.Training.LoraR != 0 {
		t.Errorf("keys that a first release wrote: %+v", c.Training)
	}
	again, err := json.Marshal(c)
	if err != nil || !strings.Contains(string(again), `"input_path":"demo/data/*.jsonl"`) {
		t.Errorf("%s, %v", again, err)
	}
}

// A plain fine-tune has no quadruple form; a map can be set as a whole or by entries.
func TestDataKeys(t *testing.T) {
	c, err := Parse("c.yaml", []byte("output_dir: o\nmodel: {base_model_path: b}\npolicy: {pii_kinds: {email: mask}}\n"+
		"data:\n  input_path: [a, b/*.parquet]\n  four_class: false\n  columns: {output: reply.text}\n"),
		map[string]any{"data.columns.instruction": "ask", "policy.pii": "keep"})
	if err != nil {
		t.Fatal(err)
	}
	if d := c.Data; !reflect.DeepEqual(d.InputPath, Paths{"a", "b/*.parquet"}) || d.UseQuadrupleThinking ||
		!reflect.DeepEqual(d.Columns, map[string]string{"output": "reply.text", "instruction": "ask"}) {
		t.Errorf("%+v", d)
	}
	if !reflect.DeepEqual(c.Policy.PIIKinds, map[string]string{"email": "mask"}) || c.Policy.PII != "keep" {
		t.Errorf("%+v", c.Policy)
	}
}
