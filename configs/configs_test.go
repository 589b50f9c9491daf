package configs

import (
	"reflect"
	"strings"
	"testing"
)

const least = `output_dir: out
data: {input_path: d.jsonl}
model: {base_model_path: base}
`

// The published run's file, to the letter, is the contract.
func TestPublishedRunLoads(t *testing.T) {
	c, err := Load("retrain_borea_phi35_so8t_config.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Training.LearningRate != 2e-4 || c.Training.LoraR != 64 || c.SamplesPerStep() != 16 || c.KeepCheckpoints() != 5 ||
		c.Float32() || !c.SO8T.Enabled || c.SO8T.Layers != nil || c.Data.InputPath[0] != "data/processed/four_class/four_class_*.jsonl" {
		t.Fatalf("wrong values: %+v", c)
	}
}

func TestDemoLoads(t *testing.T) {
	if _, err := Load("demo.yaml", nil); err != nil {
		t.Fatal(err)
	}
}

func TestFaultsNameFileLineAndKey(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", least + "training:\n  learning_rat: 1.0e-4\n", "c.yaml:5: training.learning_rat: unknown key; did you mean learning_rate?"},
		{"longer key", least + "training:\n  lora_rank: 8\n", "c.yaml:5: training.lora_rank: unknown key; did you mean lora_r?"},
		{"far from any key", least + "training:\n  banana: 8\n", "c.yaml:5: training.banana: unknown key; known here: num_train_epochs, "},
		{"unknown section", least + "trainings: {}\n", "c.yaml:4: trainings: unknown key; did you mean training?"},
		{"number for a path", "output_dir: o\ndata: {input_path: 7}\n", "c.yaml:2: data.input_path: want text or a list of texts, got \"7\""},
		{"no path", "output_dir: o\ndata: {input_path: []}\n", "c.yaml:2: data.input_path: is required"},
		{"empty path in a list", "output_dir: o\ndata: {input_path: [a, '']}\n", "c.yaml:2: data.input_path[1]: is required"},
		{"unknown take", "output_dir: o\ndata: {take: oldest}\n", "c.yaml:2: data.take: must be newest or all, is \"oldest\""},
		{"unknown format", "output_dir: o\ndata: {format: csv}\n", "c.yaml:2: data.format: must be one of auto, messages"},
		{"text for a map", "output_dir: o\ndata: {columns: answer}\n", "c.yaml:2: data.columns: want a map of texts, got \"answer\""},
		{"number in a map", "output_dir: o\ndata:\n  columns:\n    output: 7\n", "c.yaml:4: data.columns.output: want text, got \"7\""},
		{"twice in a map", "output_dir: o\ndata:\n  columns:\n    output: a\n    output: b\n", "c.yaml:5: data.columns.output: set twice"},
		{"alias in a map", "output_dir: o\ndata: {columns: {output: &a b}}\n", "c.yaml:2: data.columns.output: want text"},
		{"unknown field", "output_dir: o\ndata:\n  columns:\n    answer: output\n", "c.yaml:4: data.columns.answer: is no field; known are instruction"},
		{"empty column", "output_dir: o\ndata: {columns: {output: ''}}\n", "c.yaml:2: data.columns.output: is required"},
		{"unknown class", "output_dir: o\ndata:\n  labels:\n    safe: allow\n",
			"c.yaml:4: data.labels.safe: must be one of ALLOW, ESCALATION, DENY, REFUSE, is \"allow\""},
		{"labels without classes", "output_dir: o\ndata: {four_class: false, labels: {safe: ALLOW}}\n",
			"c.yaml:2: data.labels: maps labels, but data.four_class is false"},
		{"quadruple form without classes", "output_dir: o\ndata: {four_class: false, use_quadruple_thinking: true}\n",
			"c.yaml:2: data.use_quadruple_thinking: true needs labels, but data.four_class is false"},
		{"policy", least + "policy:\n  pii: hide\n  pii_kinds: {name: drop}\n",
			"c.yaml:5: policy.pii: \"hide\": want drop, mask, keep\nc.yaml:6: policy.pii_kinds.name: unknown kind"},
		{"policy without its files", least + "policy:\n  robots: require\n", "c.yaml:5: policy.robots: require needs policy.robots_dir"},
		{"unknown key of the policy", least + "policy:\n  confidental: drop\n", "c.yaml:5: policy.confidental: unknown key; did you mean confidential?"},
		{"share of long samples", "output_dir: o\ndata: {max_too_long_fraction: 2}\n", "c.yaml:2: data.max_too_long_fraction: must lie in [0, 1], is 2"},
		{"duplicate", least + "training:\n  seed: 1\n  seed: 2\n", "c.yaml:6: training.seed: set twice; first on line 5"},
		{"text for a number", least + "training:\n  lora_r: many\n", `c.yaml:5: training.lora_r: want a whole number, got "many"`},
		{"quoted number", least + "training:\n  lora_r: \"64\"\n", `c.yaml:5: training.lora_r: want a whole number`},
		{"octal", least + "training:\n  lora_r: 010\n", `c.yaml:5: training.lora_r: want a whole number in plain decimal digits, got "010"`},
		{"octal float", least + "training:\n  weight_decay: 010\n", `c.yaml:5: training.weight_decay: want a number, got "010"`},
		{"hexadecimal", least + "training:\n  lora_r: 0x10\n", "plain decimal digits"},
		{"fraction for an integer", least + "training:\n  lora_r: 8.0\n", "c.yaml:5: training.lora_r: want a whole number"},
		{"infinity", least + "training:\n  learning_rate: .inf\n", "c.yaml:5: training.learning_rate: want a number"},
		{"yes is no boolean", least + "training:\n  fp16: yes\n", `c.yaml:5: training.fp16: want true or false, got "yes"`},
		{"tagged boolean", least + "training:\n  fp16: !!bool yes\n", `c.yaml:5: training.fp16: want true or false, got "yes"`},
		{"number for text", "output_dir: 7\n", "c.yaml:1: output_dir: want text"},
		{"nothing for text", "output_dir:\n", "c.yaml:1: output_dir: want text, got nothing"},
		{"list for a section", least + "training: [1]\n", "c.yaml:4: training: want a section of keys, got a list"},
		{"second document", least + "---\noutput_dir: b\n", "c.yaml:4: a second document"},
		{"alias", "output_dir: &a out\n", "anchors and aliases"},
		{"both halves", least + "training:\n  fp16: true\n  bf16: true\n", "c.yaml:6: training.bf16: fp16 and bf16 cannot both be true"},
		{"out of range", least + "training:\n  learning_rate: 0\n", "c.yaml:5: training.learning_rate: must be above 0, is 0"},
		{"unknown projection", least + "training:\n  lora_target_modules: [q_proj, qkv_proj]\n", "c.yaml:5: training.lora_target_modules[1]: must be one of"},
		{"unknown optimizer", least + "training:\n  optim: sgd\n", "c.yaml:5: training.optim: must be one of"},
		{"unknown keep", least + "training:\n  gradient_checkpointing_keep: some\n",
			"c.yaml:5: training.gradient_checkpointing_keep: must be one of auto, all, attention, inputs"},
		{"a switch that is none", "output_dir: o\nmodel: {keep_expanded: often}\n",
			"c.yaml:2: model.keep_expanded: must be one of auto, true, false, is \"often\""},
		{"number for a switch", "output_dir: o\nmodel: {keep_expanded: 1}\n", "c.yaml:2: model.keep_expanded: want auto, true or false, got \"1\""},
		{"yes for a switch", "output_dir: o\nmodel: {keep_expanded: !!bool yes}\n", "c.yaml:2: model.keep_expanded: want auto, true or false, got \"yes\""},
		{"16 bit expanded", "output_dir: o\nmodel: {load_in_8bit: false, keep_expanded: true}\n",
			"c.yaml:2: model.keep_expanded: true is about int8 weights, but model.load_in_8bit is false"},
		{"expanded with a rank of no whole vectors", "output_dir: o\nmodel: {keep_expanded: true}\ntraining: {lora_r: 12}\n",
			"c.yaml:2: model.keep_expanded: true needs a training.lora_r that 8 divides, not 12"},
		{"missing output", "data: {input_path: d}\nmodel: {base_model_path: b}\n", "c.yaml: output_dir: is required"},
		{"empty file", "", "c.yaml: output_dir: is required"},
		{"no layer", least + "so8t:\n  layers: []\n", "c.yaml:5: so8t.layers: names no layer"},
		{"syntax", "output_dir: [\n", "c.yaml:"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("c.yaml", []byte(tc.text), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v\nwant …%s…", err, tc.want)
			}
		})
	}
}

// A switch may be written as a boolean or as text, in the file and in set.
func TestSwitch(t *testing.T) {
	for text, want := range map[string]Switch{"auto": Auto, "true": On, "True": On, "false": Off, `"true"`: On, "'false'": Off, "!!bool TRUE": On} {
		c, err := Parse("c.yaml", []byte("output_dir: o\ndata: {input_path: d}\nmodel: {base_model_path: b, keep_expanded: "+text+"}\n"), nil)
		if err != nil || c.Model.KeepExpanded != want {
			t.Errorf("%s is %q (%v), want %q", text, c.Model.KeepExpanded, err, want)
		}
	}
	for value, want := range map[any]Switch{true: On, false: Off, "auto": Auto, "true": On} {
		c, err := Parse("c.yaml", []byte(least), map[string]any{"model.keep_expanded": value})
		if err != nil || c.Model.KeepExpanded != want {
			t.Errorf("set to %v it is %q (%v), want %q", value, c.Model.KeepExpanded, err, want)
		}
	}
	if c, err := Parse("c.yaml", []byte(least), nil); err != nil || c.Model.KeepExpanded != Auto {
		t.Errorf("the default is %q (%v)", c.Model.KeepExpanded, err)
	}
}

func TestSet(t *testing.T) {
	c, err := Parse("c.yaml", []byte(least), map[string]any{
		"training.num_train_epochs": float64(1), // JSON has no other number
		"training.learning_rate":    1e-3,
		"so8t.layers":               []any{float64(0), float64(3)},
		"output_dir":                "elsewhere",
		"training.bf16":             true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Training.NumTrainEpochs != 1 || c.Training.LearningRate != 1e-3 || !reflect.DeepEqual(c.SO8T.Layers, []int{0, 3}) ||
		c.OutputDir != "elsewhere" || !c.Training.BF16 {
		t.Fatalf("not applied: %+v", c)
	}
	for _, tc := range []struct {
		key   string
		value any
		want  string
	}{
		{"data.columns.answer", "a", "set: data.columns.answer: is no field"},
		{"data.columns.output", 3, `set: data.columns.output: want text, got "3"`},
		{"training.lora_rank", 8, "set: training.lora_rank: unknown key"},
		{"training.lora_r", "8", `set: training.lora_r: want a whole number, got "8"`},
		{"training.lora_r", 0, "set: training.lora_r: must be at least 1, is 0"},
		{"training.lora_r", 8.5, "set: training.lora_r: want a whole number"},
		{"output_dir.x", "y", "set: output_dir.x: output_dir is no section"},
		{"training", 3, "set: training: want a section of keys"},
	} {
		_, err := Parse("c.yaml", []byte(least), map[string]any{tc.key: tc.value})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("set %s=%v: got %v, want …%s…", tc.key, tc.value, err, tc.want)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Parse("c.yaml", []byte(least+"training:\n  seed: -1\n  lora_r: 0\n"), nil)
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Fatalf("want two lines, got %v", err)
	}
}

// Every field has a key and a kind the decoder reads, so that none is silently dead.
func TestEveryKey(t *testing.T) {
	var walk func(v reflect.Type, at string)
	walk = func(v reflect.Type, at string) {
		for i := range v.NumField() {
			f := v.Field(i)
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if key == "" {
				t.Errorf("%s.%s has no yaml key", at, f.Name)
			}
			switch f.Type.Kind() {
			case reflect.Struct:
				walk(f.Type, at+"."+key)
			case reflect.String, reflect.Bool, reflect.Int, reflect.Float64, reflect.Slice, reflect.Map:
			default:
				t.Errorf("%s.%s: the decoder reads no %s", at, key, f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	walk(reflect.TypeFor[Serving](), "")
}

func TestParseSet(t *testing.T) {
	for text, want := range map[string]any{
		"training.seed=1": 1, "training.learning_rate=1e-3": 1e-3, "training.bf16=true": true, "output_dir=a=b": "a=b",
		"so8t.layers=[0, 1]": []any{0, 1}, "output_dir=2025-11-08": "2025-11-08",
		"data.labels={0: ALLOW, 1.0: DENY, true: REFUSE, ２: ESCALATION}": map[string]any{"0": "ALLOW", "1.0": "DENY", "true": "REFUSE", "２": "ESCALATION"},
	} {
		_, got, err := ParseSet(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v", text, got, err)
		}
	}
	for _, text := range []string{"training.seed", "=1", "training.seed=010", "a=[1", "a=&x 1", "a=[&x 1, *x]", "a=!!binary aGk="} {
		if _, v, err := ParseSet(text); err == nil {
			t.Errorf("%s: accepted as %#v", text, v)
		}
	}
}
