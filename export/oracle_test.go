package export_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"so8t/configs"
	"so8t/device"
	"so8t/engine"
	"so8t/engine/phi3"
	"so8t/engine/safetensors"
	"so8t/export"
	"so8t/export/merged"
	"so8t/export/peft"
	"so8t/native/nativetest"
)

const logitTolerance = 2e-4 // absolute; the oracle's README says why

// oracleSet is one small model with what Hugging Face and PEFT answer for it.
type oracleSet struct {
	dir      string
	expected *safetensors.File
	lora     engine.LoRAOptions
}

func TestMain(m *testing.M) { nativetest.Main(m) }

// eachOracle runs f for every variant of the set.
func eachOracle(t *testing.T, f func(t *testing.T, o *oracleSet)) {
	root := os.Getenv("SO8T_ORACLE")
	if root == "" {
		root = "../testdata/oracle"
	}
	variants, err := filepath.Glob(filepath.Join(root, "phi3", "*", "expected.safetensors"))
	if err != nil || len(variants) == 0 {
		t.Fatalf("no variant below %s/phi3: %v", root, err)
	}
	for _, path := range variants {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			f(t, &oracleSet{dir, openFile(t, path), loraOf(t, filepath.Join(dir, "adapter", "adapter_config.json"))})
		})
	}
}

func openFile(t *testing.T, path string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func loraOf(t *testing.T, path string) engine.LoRAOptions {
	t.Helper()
	var config struct {
		R     int     `json:"r"`
		Alpha float64 `json:"lora_alpha"`
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	return engine.LoRAOptions{R: config.R, Alpha: config.Alpha, TargetModules: configs.Projections}
}

func (o *oracleSet) tensor(t *testing.T, name string) safetensors.Tensor {
	t.Helper()
	x, ok := o.expected.Tensor(name)
	if !ok {
		t.Fatalf("%s: tensor %q is missing", o.dir, name)
	}
	return x
}

func float32s(x safetensors.Tensor) []float32 {
	out := make([]float32, len(x.Data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(x.Data[4*i:]))
	}
	return out
}

func (o *oracleSet) plan(t *testing.T, gates bool) *engine.AdapterPlan {
	t.Helper()
	config, err := phi3.LoadConfig(o.dir)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := engine.PlanAdapter(config, o.lora, engine.GateOptions{Enabled: gates})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// bundle is the oracle's adapter, read from PEFT's own file, and its θ, on the given base.
func (o *oracleSet) bundle(t *testing.T, base string) (b *export.Bundle, values []float32) {
	t.Helper()
	b = &export.Bundle{BasePath: base, Plan: o.plan(t, true)}
	lora, err := peft.Read(peft.Folders{LoRA: filepath.Join(o.dir, "adapter")}, o.plan(t, false))
	if err != nil {
		t.Fatal(err)
	}
	values = append(lora, make([]float32, b.Plan.N-len(lora))...)
	b.Trained = engine.Flat(values)
	theta := float32s(o.tensor(t, "theta"))
	for i := range b.Plan.Weights {
		if p := b.Plan.Weights[i].Theta; p != nil {
			theta = theta[copy(b.Trained(p), theta):]
		}
	}
	return b, values
}

func foldersIn(dir string) peft.Folders {
	return peft.Folders{LoRA: filepath.Join(dir, "adapter"), OFT: filepath.Join(dir, "adapter_oft")}
}

// TestAdapterRoundTrip writes the adapters as PEFT reads them: LoRA must come out as PEFT saved it, θ halved.
func TestAdapterRoundTrip(t *testing.T) {
	eachOracle(t, func(t *testing.T, o *oracleSet) {
		b, values := o.bundle(t, o.dir)
		dir := foldersIn(t.TempDir())
		if err := peft.Write(nil, dir, b); err != nil {
			t.Fatal(err)
		}
		got := openFile(t, filepath.Join(dir.LoRA, "adapter_model.safetensors"))
		want := openFile(t, filepath.Join(o.dir, "adapter", "adapter_model.safetensors"))
		if !slices.Equal(got.Names(), want.Names()) {
			t.Fatalf("tensors %v, PEFT has %v", got.Names(), want.Names())
		}
		for _, name := range want.Names() {
			a, _ := got.Tensor(name)
			b, _ := want.Tensor(name)
			if !slices.Equal(float32s(a), float32s(b)) || !slices.Equal(a.Shape, b.Shape) { // −0 off B's diagonal is 0
				t.Errorf("%s differs from what PEFT saved", name)
			}
		}
		gates := openFile(t, filepath.Join(dir.OFT, "adapter_model.safetensors"))
		half, _ := gates.Tensor("base_model.model.model.layers.0.self_attn.o_proj.oft_R.weight")
		if theta := float32s(o.tensor(t, "theta")); len(half.Data) == 0 || float32s(half)[0] != theta[0]/2 {
			t.Errorf("θ begins with %v in PEFT's file, with %v here", float32s(half)[:1], theta[0])
		}
		again, err := peft.Read(dir, b.Plan)
		if err != nil || !slices.Equal(again, values) {
			t.Errorf("the adapters changed on the way through their files: %v", err)
		}
	})
}

// TestMerge folds adapter and gates into the oracle's dequantised base: the merged model alone must
// answer what the adapted one does.
func TestMerge(t *testing.T) {
	eachOracle(t, func(t *testing.T, o *oracleSet) {
		base := t.TempDir()
		o.writeDequantised(t, base)
		b, _ := o.bundle(t, base)
		merger, err := engine.OpenMerger(engine.Options{Device: device.MustParse(os.Getenv("SO8T_DEVICE")), Algorithms: nativetest.Algorithms()})
		if err != nil {
			t.Fatal(err)
		}
		defer merger.Close()
		dir := filepath.Join(t.TempDir(), "merged")
		if err := merged.Write(t.Context(), nil, dir, b, merger, 100_000); err != nil { // several shards
			t.Fatal(err)
		}
		if shards, _ := filepath.Glob(filepath.Join(dir, "model-*.safetensors")); len(shards) < 2 {
			t.Errorf("%d shards", len(shards))
		}
		o.checkLogits(t, dir)
	})
}

// checkLogits compares what the model in dir answers with what the oracle's adapted one does.
func (o *oracleSet) checkLogits(t *testing.T, dir string) {
	t.Helper()
	const longest = 128
	m, err := engine.Open(t.Context(), engine.Options{BasePath: dir, Device: device.MustParse(os.Getenv("SO8T_DEVICE")), Algorithms: nativetest.Algorithms(),
		Float32: true, MaxTokens: longest})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	samples := 0
	for ; ; samples++ {
		x, ok := o.expected.Tensor(fmt.Sprintf("sample%d.input_ids", samples))
		if !ok {
			break
		}
		ids := make([]int32, len(x.Data)/4)
		for i := range ids {
			ids[i] = int32(binary.LittleEndian.Uint32(x.Data[4*i:]))
		}
		logits, err := m.Logits(t.Context(), [][]int32{ids})
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for i, want := range float32s(o.tensor(t, fmt.Sprintf("sample%d.adapted_logits", samples))) {
			vocabulary := m.Config().VocabSize
			if d := math.Abs(float64(logits[0][i/vocabulary][i%vocabulary] - want)); !(d <= worst) {
				worst = d
			}
		}
		if !(worst <= logitTolerance) {
			t.Errorf("sample %d of %d tokens: logits differ by %g", samples, len(ids), worst)
		}
	}
	if samples == 0 {
		t.Error("no sample")
	}
}

// writeDequantised writes the base that the oracle's int8 rows stand for.
func (o *oracleSet) writeDequantised(t *testing.T, dir string) {
	t.Helper()
	base := openFile(t, filepath.Join(o.dir, "model.safetensors"))
	quantised := openFile(t, filepath.Join(o.dir, "int8.safetensors"))
	var tensors []safetensors.Named
	for _, name := range base.Names() {
		x, _ := base.Tensor(name)
		if q, ok := quantised.Tensor(name); ok {
			scales, _ := quantised.Tensor(strings.TrimSuffix(name, ".weight") + ".absmax")
			absmax := float32s(scales)
			data := make([]byte, len(x.Data))
			for i, v := range q.Data {
				binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32(int8(v))*(absmax[i/int(q.Shape[1])]/127)))
			}
			x.Data = data
		}
		tensors = append(tensors, safetensors.Named{Name: name, Tensor: x})
	}
	if err := safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), tensors, nil); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(o.dir, "config.json"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
