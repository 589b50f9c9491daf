package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"so8t/configs"
	"so8t/dataset"
	"so8t/device"
	"so8t/engine/safetensors"
	"so8t/native"
	"so8t/native/nativetest"
)

// The oracle's README states where these come from: float32 against float64 differs by 2e-5, a start
// perturbed by 1e-6 by 1e-4 on a curve.
const (
	logitTolerance = 2e-4 // absolute
	gradTolerance  = 1e-3 // of the tensor's norm
	curveTolerance = 2e-4 // relative
)

// oracleSet is one small model with what Hugging Face and PEFT answer for it.
type oracleSet struct {
	dir      string
	expected *safetensors.File
	samples  oracleSamples
	lora     LoRAOptions
}

type oracleSamples []dataset.Sample

func (s oracleSamples) Len() int                { return len(s) }
func (s oracleSamples) At(i int) dataset.Sample { return s[i] }

func oracleRoot() string {
	if dir := os.Getenv("SO8T_ORACLE"); dir != "" {
		return dir
	}
	return "../testdata/oracle"
}

// eachOracle runs f for every variant of the set.
func eachOracle(t *testing.T, f func(t *testing.T, o *oracleSet)) {
	entries, err := os.ReadDir(filepath.Join(oracleRoot(), "phi3"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, e := range entries {
		if e.IsDir() {
			ran++
			t.Run(e.Name(), func(t *testing.T) { f(t, openOracle(t, filepath.Join(oracleRoot(), "phi3", e.Name()))) })
		}
	}
	if ran == 0 {
		t.Fatalf("no variant below %s/phi3", oracleRoot())
	}
}

func openOracle(t *testing.T, dir string) *oracleSet {
	o := &oracleSet{dir: dir}
	var err error
	if o.expected, err = safetensors.Open(filepath.Join(dir, "expected.safetensors")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.expected.Close() })
	for i := 0; ; i++ {
		ids, ok := o.expected.Tensor(fmt.Sprintf("sample%d.input_ids", i))
		if !ok {
			break
		}
		labels, _ := o.expected.Tensor(fmt.Sprintf("sample%d.labels", i))
		o.samples = append(o.samples, dataset.Sample{InputIDs: int32s(ids.Data), Labels: int32s(labels.Data)})
	}
	var config struct {
		R     int     `json:"r"`
		Alpha float64 `json:"lora_alpha"`
	}
	text, err := os.ReadFile(filepath.Join(dir, "adapter", "adapter_config.json"))
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.lora = LoRAOptions{R: config.R, Alpha: config.Alpha, TargetModules: configs.Projections}
	return o
}

func int32s(data []byte) []int32 {
	out := make([]int32, len(data)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return out
}

func (o *oracleSet) float32s(t *testing.T, name string) []float32 {
	x, ok := o.expected.Tensor(name)
	if !ok {
		t.Fatalf("%s: tensor %q is missing", o.dir, name)
	}
	return float32sOf(x)
}

func float32sOf(x safetensors.Tensor) []float32 {
	out := make([]float32, len(x.Data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(x.Data[4*i:]))
	}
	return out
}

// open loads the variant in float32, with the oracle's adapter, and with its gates if asked.
func (o *oracleSet) open(t *testing.T, options Options) *Model {
	t.Helper()
	tokens := 0
	for _, s := range o.samples {
		tokens += len(s.InputIDs)
	}
	if options.BasePath == "" {
		options.BasePath = o.dir
	}
	options.Float32, options.Training, options.MaxTokens = true, true, max(tokens, options.MaxTokens)
	options.Device, options.Algorithms = device.MustParse(os.Getenv("SO8T_DEVICE")), nativetest.Algorithms()
	for _, s := range o.samples {
		options.MaxLength = max(options.MaxLength, len(s.InputIDs))
	}
	m, err := Open(context.Background(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := m.SetParameters(context.Background(), o.trained(t, m.Adapter())); err != nil {
		t.Fatal(err)
	}
	return m
}

// trained is the oracle's adapter and θ as the plan lays them out.
func (o *oracleSet) trained(t *testing.T, p *AdapterPlan) []float32 {
	t.Helper()
	values := make([]float32, p.N)
	part := Flat(values)
	file, err := safetensors.Open(filepath.Join(o.dir, "adapter", "adapter_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	read := func(w *AdaptedWeight, part string) []float32 {
		x, ok := file.Tensor(peftName(w, part))
		if !ok {
			t.Fatalf("%s is missing", peftName(w, part))
		}
		return float32sOf(x)
	}
	theta := o.float32s(t, "theta")
	for i := range p.Weights {
		w := &p.Weights[i]
		if w.A != nil {
			copy(part(w.A), read(w, "lora_A"))
			b, columns := read(w, "lora_B"), len(w.Slices)*p.LoRA.R
			for j, s := range w.Slices {
				for row := range s.Rows {
					copy(part(s.B)[row*p.LoRA.R:(row+1)*p.LoRA.R], b[(s.Begin+row)*columns+j*p.LoRA.R:])
				}
			}
		}
		if w.Theta != nil {
			copy(part(w.Theta), theta[w.Layer*w.Theta.Size():])
		}
	}
	return values
}

// peftName is PEFT's name of a part of a weight's adapter.
func peftName(w *AdaptedWeight, part string) string {
	return fmt.Sprintf("base_model.model.model.layers.%d.%s.%s.weight", w.Layer, w.Name, part)
}

// gated is the set's int8 base with adapter and gates.
func (o *oracleSet) gated() Options {
	return Options{Int8: true, LoRA: o.lora, Gates: GateOptions{Enabled: true}}
}

func largestDifference(a [][]float32, b []float32) float64 {
	worst := 0.0
	flat := slices.Concat(a...)
	if len(flat) != len(b) {
		return math.Inf(1)
	}
	for i := range flat {
		if d := math.Abs(float64(flat[i]) - float64(b[i])); !(d <= worst) {
			worst = d
		}
	}
	return worst
}

// checkLogits compares each sample's logits with the oracle's.
func (o *oracleSet) checkLogits(t *testing.T, m *Model, suffix string) {
	t.Helper()
	for i, s := range o.samples {
		logits, err := m.Logits(context.Background(), [][]int32{s.InputIDs})
		if err != nil {
			t.Fatal(err)
		}
		if d := largestDifference(logits[0], o.float32s(t, fmt.Sprintf("sample%d.%s", i, suffix))); !(d <= logitTolerance) {
			t.Errorf("sample %d of %d tokens: logits differ by %g", i, len(s.InputIDs), d)
		}
	}
}

func TestOracleLogits(t *testing.T) {
	eachOracle(t, func(t *testing.T, o *oracleSet) {
		o.checkLogits(t, o.open(t, Options{}), "logits")
	})
}

func TestOracleAdaptedLogits(t *testing.T) {
	eachOracle(t, func(t *testing.T, o *oracleSet) {
		m := o.open(t, o.gated())
		o.checkLogits(t, m, "adapted_logits")
		m.EnableAdapter(false)
		logits, err := m.Logits(context.Background(), [][]int32{o.samples[0].InputIDs})
		if err != nil {
			t.Fatal(err)
		}
		if d := largestDifference(logits[0], o.float32s(t, "sample0.adapted_logits")); d < 100*logitTolerance {
			t.Errorf("without adapter and gates the logits differ by only %g from those with them", d)
		}
	})
}

func TestOracleRotation(t *testing.T) {
	eachOracle(t, func(t *testing.T, o *oracleSet) {
		m := o.open(t, o.gated())
		for i := range m.phi.Layers {
			want := o.float32s(t, fmt.Sprintf("layer%d.rotation", i))
			got := make([]float32, len(want))
			err := m.run(context.Background(), func() error { return native.Download(m.device, got, m.phi.Layers[i].Gate.Rotation) })
			if err != nil {
				t.Fatal(err)
			}
			if d := largestDifference([][]float32{got}, want); !(d <= 2e-6) { // a few ulps of numbers up to 1
				t.Errorf("layer %d: rotations differ by %g", i, d)
			}
		}
	})
}
