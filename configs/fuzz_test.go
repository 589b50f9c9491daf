package configs

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"so8t/fuzzguard"
)

// yaml.v3 keeps a node of some 200 bytes for what may be two bytes of text, and every fault of a line is reported.
var yamlBound = fuzzguard.Bound{PerByte: 1000, Fixed: 1 << 18}

func addFiles(f *testing.F) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 2 {
		f.Fatalf("no configurations to begin with: %v, %v", files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
}

// FuzzParse: whatever the text, one line a fault answers; what is accepted is accepted again once it is written, as
// YAML and as the overrides that a workflow's input carries, and means the same run.
func FuzzParse(f *testing.F) {
	addFiles(f)
	for _, text := range []string{least, least + "training: {bf16: True, lora_r: 8, learning_rate: 1.e-3}\n", least + "so8t: {layers: [0, 1]}\n---\n",
		least + "threads: 010\n", "a: &a [*a]\n", "output_dir: !!binary aGk=\n", "? [a]\n: {b: !!bool yes}\n", "%YAML 1.1\n---\n<<: {device: cpu}\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c *Config
		var err error
		fuzzguard.Call(t, len(text), yamlBound, func() { c, err = Parse("c.yaml", []byte(text), nil) })
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v with error %v", c, err)
		}
		if err != nil {
			wantLinesNamed(t, err)
			return
		}
		// Digest panics where a number is not finite.
		asYAML := rendered(t, c)
		again, err := Parse("c.yaml", asYAML, nil)
		if err != nil || !reflect.DeepEqual(c, again) || c.Digest() != again.Digest() {
			t.Fatalf("written as YAML: %v\n%s\n%+v\n%+v", err, asYAML, c, again)
		}
		set := overrides(t, c)
		if again, err = Parse("c.yaml", nil, set); err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("as overrides %v: %v\n%+v\n%+v", set, err, c, again)
		}
	})
}

// FuzzParseServing: whatever the text, one line a fault answers, and no link or name of a folder ends the process.
func FuzzParseServing(f *testing.F) {
	addFiles(f)
	for _, text := range []string{leastServing, "serve: {model: m, address: '[::1]:80', prompts: [a]}\n", "audit: {dir: a, keys_dir: a/b}\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s *Serving
		var err error
		fuzzguard.Call(t, len(text), yamlBound, func() { s, err = ParseServing("c.yaml", []byte(text), nil) })
		if (s == nil) == (err == nil) {
			t.Fatalf("configuration %v with error %v", s, err)
		}
		if err != nil {
			wantLinesNamed(t, err)
		}
	})
}

// FuzzSet: whatever "key=value" says, ParseSet answers, and its value takes the way of a workflow's input, through
// JSON, to the same config as if it stood there unchanged.
func FuzzSet(f *testing.F) {
	for _, text := range []string{"training.seed=1", "training.learning_rate=1e-3", "so8t.layers=[0, 1]", "output_dir=2025-11-08", "device=cpu",
		"training.seed=1.0", "threads=1_0", "training.bf16=yes", "output_dir=\"a\\u0085b\"", "data={max_seq_length: 16}",
		"training.lora_target_modules=[q_proj, o_proj]", "policy.pii=drop", "so8t.layers=&a [*a]",
		"output_dir=!!binary aGk=", "training.seed=.inf", "so8t={[1]: 2}", "output_dir=# none", "so8t.layers=~"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var key string
		var value any
		var err error
		fuzzguard.Call(t, len(text), yamlBound, func() { key, value, err = ParseSet(text) })
		if err != nil {
			return
		}
		direct, err := Parse("c.yaml", []byte(least), map[string]any{key: value})
		carried, marshalErr := json.Marshal(value)
		if marshalErr != nil {
			if err == nil {
				t.Fatalf("%#v is accepted, but no workflow's input can carry it: %v", value, marshalErr)
			}
			return
		}
		var there any
		if err := json.Unmarshal(carried, &there); err != nil {
			t.Fatal(err)
		}
		var viaJSON *Config
		var jsonErr error
		fuzzguard.Call(t, len(text), yamlBound, func() { viaJSON, jsonErr = Parse("c.yaml", []byte(least), map[string]any{key: there}) })
		if (err == nil) != (jsonErr == nil) || !reflect.DeepEqual(direct, viaJSON) {
			t.Fatalf("%#v gives %+v, %v; through JSON %+v, %v", value, direct, err, viaJSON, jsonErr)
		}
		if s, ok := value.(string); ok && key == "output_dir" && err == nil && direct.OutputDir != s {
			t.Fatalf("output_dir is %q, set to %q", direct.OutputDir, s)
		}
	})
}

// wantLinesNamed wants one line a fault, each with the place it speaks of.
func wantLinesNamed(t *testing.T, err error) {
	t.Helper()
	for _, line := range strings.Split(err.Error(), "\n") {
		if !strings.HasPrefix(line, "c.yaml") {
			t.Fatalf("a line of the error names no place: %q", line)
		}
	}
}

// tree is c under its YAML keys.
func tree(t *testing.T, c *Config) (keys map[string]any) {
	t.Helper()
	text, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(text, &keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// rendered is c as a YAML file. Whole numbers are written as such: integers refuse 1e+06.
func rendered(t *testing.T, c *Config) []byte {
	t.Helper()
	var whole func(v any) any
	whole = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for key := range v {
				v[key] = whole(v[key])
			}
		case []any:
			for i := range v {
				v[i] = whole(v[i])
			}
		case float64:
			if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
				return int64(v)
			}
		}
		return v
	}
	text, err := yaml.Marshal(whole(tree(t, c)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// overrides is every value of c as set has it, from JSON.
func overrides(t *testing.T, c *Config) map[string]any {
	set := map[string]any{}
	for key, value := range tree(t, c) {
		section, ok := value.(map[string]any)
		if !ok {
			set[key] = value
			continue
		}
		for inner, value := range section {
			set[key+"."+inner] = value
		}
	}
	return set
}
