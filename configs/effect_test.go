package configs

import (
	"reflect"
	"testing"

	"so8t/device"
)

// What trains the same weights is no difference, however it is written.
func TestCase21Differences(t *testing.T) {
	cpu, gpu, second := device.Device{Kind: device.CPU}, device.Device{Kind: device.CUDA}, device.Device{Kind: device.CUDA, Ordinal: 1}
	for name, tc := range map[string]struct {
		theirs, ours     map[string]any
		theirsOn, oursOn device.Device
		want             []Difference
	}{
		"the same":                  {nil, nil, cpu, cpu, nil},
		"a device found and named":  {map[string]any{"device": "auto"}, map[string]any{"device": "cpu"}, cpu, cpu, nil},
		"a GPU with and without 0":  {map[string]any{"device": "cuda"}, map[string]any{"device": "cuda:0"}, gpu, gpu, nil},
		"another GPU":               {map[string]any{"device": "auto"}, map[string]any{"device": "cuda:1"}, gpu, second, nil},
		"auto finds another device": {nil, nil, gpu, cpu, []Difference{{"device", "cuda", "cpu"}}},
		"before devices were noted": {nil, map[string]any{"device": "cpu"}, device.Device{}, cpu, []Difference{{"device", "auto", "cpu"}}},
		"log, memory and threads": {nil, map[string]any{"training.logging_steps": 1, "threads": 7, "training.gradient_checkpointing": false},
			cpu, cpu, nil},
		"paths":                     {nil, map[string]any{"output_dir": "./out/", "policy.robots_dir": "r"}, cpu, cpu, nil},
		"bounds that data keep":     {nil, map[string]any{"data.max_bad_fraction": 0.5, "data.max_too_long_fraction": 0.5}, cpu, cpu, nil},
		"the verdict":               {nil, map[string]any{"promotion.alpha": 0.01}, cpu, cpu, nil},
		"a default that is written": {nil, map[string]any{"training.lora_r": 64, "policy.pii": "drop"}, cpu, cpu, nil},
		"an optimizer by other names": {map[string]any{"training.optim": "paged_adamw_8bit"}, map[string]any{"training.optim": "adamw_bnb_8bit"},
			cpu, cpu, nil},
		"both halves of bfloat16": {map[string]any{"training.fp16": true}, map[string]any{"training.bf16": true}, cpu, cpu, nil},
		"layers of gates that are off": {map[string]any{"so8t.enabled": false}, map[string]any{"so8t.enabled": false, "so8t.layers": []any{0}},
			cpu, cpu, nil},
		"a ratio that steps override": {map[string]any{"training.warmup_steps": 5, "training.warmup_ratio": 0.5},
			map[string]any{"training.warmup_steps": 5}, cpu, cpu, nil},
		"agents of robots that are off": {nil, map[string]any{"policy.robots_agents": []any{"x"}, "policy.robots_max_age_days": 3}, cpu, cpu, nil},
		"a threshold without use": {map[string]any{"policy.near_duplicates": "off"},
			map[string]any{"policy.near_duplicates": "off", "policy.near_duplicate_threshold": 0.5}, cpu, cpu, nil},
		"an empty map": {nil, map[string]any{"data.columns": map[string]any{}}, cpu, cpu, nil},

		"precision": {nil, map[string]any{"training.bf16": true}, cpu, cpu, []Difference{{"training.bf16", "false", "true"}}},
		"several": {nil, map[string]any{"training.lora_r": 8, "training.logging_steps": 3, "policy.pii": "mask", "data.labels.ok": "ALLOW"}, cpu, cpu,
			[]Difference{{"data.labels", "map[]", "map[ok:ALLOW]"}, {"policy.pii", "drop", "mask"}, {"training.lora_r", "64", "8"}}},
		"an optimizer of other width": {nil, map[string]any{"training.optim": "adamw_torch"}, cpu, cpu,
			[]Difference{{"training.optim", "paged_adamw_8bit", "adamw_torch"}}},
		"near duplicates that are dropped": {nil, map[string]any{"policy.near_duplicates": "drop"}, cpu, cpu,
			[]Difference{{"policy.near_duplicates", "report", "drop"}}},
	} {
		theirs, err := Parse("theirs", []byte(least), tc.theirs)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := Parse("ours", []byte(least), tc.ours)
		if err != nil {
			t.Fatal(err)
		}
		if got := ours.Differences(tc.oursOn, theirs, tc.theirsOn); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
		if same := ours.TrainingDigest() == theirs.TrainingDigest(); same && len(tc.want) > 0 && tc.theirsOn == tc.oursOn {
			t.Errorf("%s: the digests are equal", name)
		}
	}
}
