package export_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"so8t/configs"
	"so8t/device"
	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/engine/phi3"
	"so8t/engine/safetensors"
	"so8t/export"
	"so8t/export/merged"
	"so8t/export/peft"
	"so8t/version"
)

const gqa = "../testdata/oracle/phi3/gqa"

func planOf(t *testing.T, lora engine.LoRAOptions, gates engine.GateOptions) *engine.AdapterPlan {
	t.Helper()
	config, err := phi3.LoadConfig(gqa)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := engine.PlanAdapter(config, lora, gates)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// untouched is an optimizer's tensor that nobody may read.
type untouched struct{ t *testing.T }

func (u untouched) ReadAt([]byte, int64) (int, error) {
	u.t.Error("an optimizer state was read")
	return 0, errors.New("an optimizer state was read")
}

// stateOf is a checkpoint of the plan with numbers that tell their places.
func stateOf(t *testing.T, plan *engine.AdapterPlan) (*checkpoint.State, []float32) {
	var data []byte
	values := make([]float32, plan.N)
	for _, p := range plan.Parameters {
		for i := range p.Size() {
			values[p.Offset+i] = float32(math.Sin(float64(p.Offset+i))) / 8
		}
	}
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	shape := []int64{int64(plan.N)}
	return &checkpoint.State{
		Position: checkpoint.Position{Epoch: 1, Step: 2},
		Metrics:  json.RawMessage(`{"train":[{"step":2,"loss":0.5}]}`),
		Tensors: []safetensors.Named{
			{Name: "lora.m", Tensor: safetensors.Tensor{DType: safetensors.F32, Shape: shape}, From: untouched{t}},
			{Name: "parameters", Tensor: safetensors.Tensor{DType: safetensors.F32, Shape: shape, Data: data}},
		},
	}, values
}

// TestBundle: from a checkpoint to files and back, without a look at the optimizer's states.
func TestBundle(t *testing.T) {
	lora := engine.LoRAOptions{R: 2, Alpha: 4, TargetModules: []string{"k_proj", "v_proj", "o_proj"}}
	plan := planOf(t, lora, engine.GateOptions{Enabled: true, Layers: []int{1}})
	state, values := stateOf(t, plan)
	versions := []version.Version{{Tag: "a", Arithmetic: 1}}
	b, err := export.New(gqa, plan, state, checkpoint.Info{Versions: versions})
	if err != nil {
		t.Fatal(err)
	}
	if b.Position.Step != 2 || len(b.Curve.Train) != 1 || b.Curve.Train[0].Loss != 0.5 || !slices.Equal(b.Versions, versions) {
		t.Errorf("bundle %+v", b)
	}
	dir := t.TempDir()
	if err := peft.Write(nil, foldersIn(dir), b); err != nil {
		t.Fatal(err)
	}
	merger, err := engine.OpenMerger(engine.Options{Device: device.Device{Kind: device.CPU}})
	if err != nil {
		t.Fatal(err)
	}
	defer merger.Close()
	if err := merged.Write(t.Context(), nil, filepath.Join(dir, "merged"), b, merger, merged.ShardBytes); err != nil {
		t.Fatal(err)
	}
	got, err := peft.Read(foldersIn(dir), plan)
	if err != nil || !slices.Equal(got, values) {
		t.Errorf("the adapters changed on the way through their files: %v", err)
	}
	for name, other := range map[string]*engine.AdapterPlan{
		"r 2 and lora_alpha 4": planOf(t, engine.LoRAOptions{R: 4, Alpha: 4, TargetModules: lora.TargetModules}, engine.GateOptions{}),
		"is missing":           planOf(t, lora, engine.GateOptions{Enabled: true}),
		"not F32":              planOf(t, engine.LoRAOptions{R: 2, Alpha: 4, TargetModules: configs.Projections}, engine.GateOptions{}),
	} {
		if _, err := peft.Read(foldersIn(dir), other); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("read with another plan: %v, want %q", err, name)
		}
		if _, err := export.New(gqa, other, state, checkpoint.Info{}); err == nil || !strings.Contains(err.Error(), "parameters") {
			t.Errorf("a checkpoint of another plan: %v", err)
		}
	}
}

// TestMergedFiles: what lies beside the base's weights comes along, and nothing else does.
func TestMergedFiles(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"model.safetensors", "config.json"} {
		data, err := os.ReadFile(filepath.Join(gqa, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(base, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"tokenizer.json", "tokenizer.model", "chat_template.jinja", "modeling.py", "merges.txt",
		".hidden.json", "model.safetensors.index.json", "pytorch_model.bin", "README.md"} {
		if err := os.WriteFile(filepath.Join(base, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plan := planOf(t, engine.LoRAOptions{}, engine.GateOptions{})
	state, _ := stateOf(t, plan)
	b, err := export.New(base, plan, state, checkpoint.Info{})
	if err != nil {
		t.Fatal(err)
	}
	merger, err := engine.OpenMerger(engine.Options{Device: device.Device{Kind: device.CPU}})
	if err != nil {
		t.Fatal(err)
	}
	defer merger.Close()
	dir := filepath.Join(t.TempDir(), "merged")
	if err := merged.Write(t.Context(), nil, dir, b, merger, merged.ShardBytes); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"chat_template.jinja", "config.json", "merges.txt", "model.safetensors", "modeling.py", "tokenizer.json", "tokenizer.model"}
	if !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
	old, now := openFile(t, filepath.Join(base, "model.safetensors")), openFile(t, filepath.Join(dir, "model.safetensors"))
	for _, name := range old.Names() {
		a, _ := old.Tensor(name)
		if b, ok := now.Tensor(name); !ok || !slices.Equal(a.Data, b.Data) {
			t.Errorf("%s changed, though nothing was trained", name)
		}
	}
}

// TestMetadataKeys: the keys of the file as earlier runs have written it.
func TestMetadataKeys(t *testing.T) {
	keys := func(value any) string {
		var object map[string]any
		text, err := json.Marshal(value)
		if err == nil {
			err = json.Unmarshal(text, &object)
		}
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(slices.Sorted(maps.Keys(object)), " ")
	}
	for want, value := range map[string]any{
		"base_digest base_model config config_digest curve dataset dataset_digest device exported_at gate_deviation merged_against_trained " +
			"position sha256 total_steps trained_parameters training_digest workflow_id": export.Metadata{},
		"isa name products_choices_sha256": export.Device{Algorithms: "x"},
		"decisions max_logit_difference positions rms_logit rms_logit_difference same_decisions same_next_token samples": export.MergeReport{},
	} {
		if got := keys(value); got != want {
			t.Errorf("%T has the keys %s, want %s", value, got, want)
		}
	}
}

// TestCompareLogits on logits that can be checked by hand.
func TestCompareLogits(t *testing.T) {
	r := export.CompareLogits([][][]float32{{{1, 2}, {3, 0}}}, [][][]float32{{{1, 2}, {0, 4}}})
	want := export.MergeReport{Samples: 1, Positions: 2, MaxDifference: 4, RMSDifference: 2.5, RMSLogit: math.Sqrt(14. / 4), SameNextToken: 0.5}
	if r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	if r := export.CompareLogits(nil, nil); r != (export.MergeReport{}) {
		t.Errorf("of nothing: %+v", r)
	}
}
