package engine

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"so8t/configs"
	"so8t/dataset"
	"so8t/device"
	"so8t/engine/safetensors"
	"so8t/native/nativetest"
)

// parityShape is the size of a random Phi-3 and of its steps; bench/shape.go has the same shapes by the same names.
type parityShape struct{ hidden, heads, inter, layers, vocab, sequence, steps int }

var parityShapes = map[string]parityShape{
	"mini": {64, 2, 96, 2, 256, 24, 6}, // an emulated GPU runs about ten million threads a minute
	"tiny": {192, 2, 512, 4, 2048, 128, 20},
	"100m": {768, 8, 2048, 12, 32064, 256, 20},
}

// write fills dir with normal weights of deviation 0.02, norms of one.
func (s parityShape) write(t *testing.T, dir string) {
	t.Helper()
	matrix := func(name string, rows, columns int) safetensors.Spec {
		return safetensors.Spec{Name: name, DType: "BF16", Shape: []int64{int64(rows), int64(columns)}}
	}
	specs := []safetensors.Spec{matrix("model.embed_tokens.weight", s.vocab, s.hidden), matrix("lm_head.weight", s.vocab, s.hidden),
		{Name: "model.norm.weight", DType: "BF16", Shape: []int64{int64(s.hidden)}}}
	for i := range s.layers {
		p := fmt.Sprintf("model.layers.%d.", i)
		specs = append(specs, matrix(p+"self_attn.qkv_proj.weight", 3*s.hidden, s.hidden), matrix(p+"self_attn.o_proj.weight", s.hidden, s.hidden),
			matrix(p+"mlp.gate_up_proj.weight", 2*s.inter, s.hidden), matrix(p+"mlp.down_proj.weight", s.hidden, s.inter))
		for _, norm := range []string{"input_layernorm", "post_attention_layernorm"} {
			specs = append(specs, safetensors.Spec{Name: p + norm + ".weight", DType: "BF16", Shape: []int64{int64(s.hidden)}})
		}
	}
	w, err := safetensors.NewShardedWriter(dir, specs, nil, 5e9)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for _, spec := range w.Order() {
		n, err := spec.Elements()
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, 0, 2*n)
		for range n {
			x := float32(1)
			if len(spec.Shape) == 2 {
				x = float32(0.02 * r.NormFloat64())
			}
			data = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(x)>>16))
		}
		if err := w.Append(spec.Name, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"architectures": []string{"Phi3ForCausalLM"}, "model_type": "phi3", "torch_dtype": "bfloat16",
		"hidden_size": s.hidden, "num_attention_heads": s.heads, "num_key_value_heads": s.heads, "intermediate_size": s.inter, "num_hidden_layers": s.layers,
		"vocab_size": s.vocab, "max_position_embeddings": 4096, "original_max_position_embeddings": 4096, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
		"hidden_act": "silu", "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		t.Fatal(err)
	}
}

// train is the curve of a few steps on a device.
func (s parityShape) train(t *testing.T, dir string, on device.Device, float32 bool) []StepResult {
	t.Helper()
	// two samples a row: attention's boundary is in every step
	m, err := Open(ctx, Options{BasePath: dir, Device: on, Algorithms: nativetest.Algorithms(), Float32: float32, Int8: true, Training: true,
		MaxTokens: 2 * s.sequence, MaxLength: s.sequence,
		LoRA: LoRAOptions{R: 16, Alpha: 32, Dropout: 0.05, TargetModules: configs.Projections}, Gates: GateOptions{Enabled: true}, Seed: 42})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var samples oracleSamples
	r := rand.New(rand.NewPCG(5, 6))
	for range 8 { // seen again and again, so that the loss falls
		ids := make([]int32, s.sequence)
		for j := range ids {
			ids[j] = int32(3 + r.IntN(s.vocab-3))
		}
		samples = append(samples, dataset.Sample{InputIDs: ids, Labels: ids})
	}
	trainer, err := NewTrainer(m, samples, TrainerOptions{SamplesPerStep: 2, Epochs: (s.steps + 3) / 4, LearningRate: 1e-3, WeightDecay: 0.01,
		Scheduler: "cosine", MaxGradNorm: 1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Optim: "adamw_torch", Seed: 42})
	if err != nil {
		t.Fatal(err)
	}
	curve := make([]StepResult, s.steps)
	for i := range curve {
		if curve[i], err = trainer.Step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return curve
}

// TestParity: a GPU trains as the CPU does. SO8T_DEVICE names the device, SO8T_PARITY_SHAPE the model.
func TestParity(t *testing.T) {
	on := device.MustParse(os.Getenv("SO8T_DEVICE"))
	shapes := map[device.Kind]string{device.CUDA: "100m", device.Emulated: "mini"}
	name := cmp.Or(os.Getenv("SO8T_PARITY_SHAPE"), shapes[on.Kind])
	if shapes[on.Kind] == "" {
		t.Skip("SO8T_DEVICE is neither cuda nor cuda_emulated")
	}
	s, known := parityShapes[name]
	if !known {
		t.Fatalf("SO8T_PARITY_SHAPE=%s: not known", name)
	}
	dir := t.TempDir()
	s.write(t, dir)
	gpu := s.train(t, dir, on, false) // first: where it fails, it does so at once
	compareCurves(t, s.train(t, dir, device.Device{Kind: device.CPU}, false), gpu)
}

const (
	// One step differs by the rounding of activations to bfloat16, 2⁻⁸ each; means over thousands of tokens differ far less.
	parityLoss = 2e-3
	// The gradient's norm is a sum of squares over all layers, whose rounding errors add up on the way back.
	parityNorm = 2e-2
	// Later steps start from weights that differ.
	parityCurve = 1e-2
)

func compareCurves(t testing.TB, cpu, gpu []StepResult) {
	t.Helper()
	off := func(a, b float64) float64 { return math.Abs(a-b) / math.Abs(b) }
	if d := off(gpu[0].Loss, cpu[0].Loss); !(d <= parityLoss) {
		t.Errorf("first step: loss %v, the CPU's is %v, %.2g apart", gpu[0].Loss, cpu[0].Loss, d)
	}
	if d := off(gpu[0].GradNorm, cpu[0].GradNorm); !(d <= parityNorm) {
		t.Errorf("first step: gradient norm %v, the CPU's is %v, %.2g apart", gpu[0].GradNorm, cpu[0].GradNorm, d)
	}
	worst, at := 0.0, 0
	for i := range cpu {
		d := off(gpu[i].Loss, cpu[i].Loss)
		if !(d <= parityCurve) {
			t.Errorf("step %d: loss %v, the CPU's is %v", i+1, gpu[i].Loss, cpu[i].Loss)
		}
		if d > worst {
			worst, at = d, i+1
		}
	}
	t.Logf("loss %.4f to %.4f on the CPU, %.4f to %.4f here, at most %.2g apart (step %d); first gradient norm %.4f and %.4f",
		cpu[0].Loss, cpu[len(cpu)-1].Loss, gpu[0].Loss, gpu[len(gpu)-1].Loss, worst, at, cpu[0].GradNorm, gpu[0].GradNorm)
}

// recorder notes that a comparison failed.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Logf(string, ...any)   {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

// TestParityIsStrict: what TestParity runs on two devices trains, bfloat16 passes, and a faulty device would be seen.
func TestParityIsStrict(t *testing.T) {
	s := parityShapes["mini"]
	dir := t.TempDir()
	s.write(t, dir)
	curve := s.train(t, dir, device.Device{Kind: device.CPU}, false)
	compareCurves(t, s.train(t, dir, device.Device{Kind: device.CPU}, true), curve) // bfloat16's rounding alone stays within the tolerances
	if first, last := curve[0].Loss, curve[len(curve)-1].Loss; !(last < first) {
		t.Errorf("loss %v to %v", first, last)
	}
	for name, spoil := range map[string]func(*StepResult){
		"loss":          func(r *StepResult) { r.Loss *= 1.003 },
		"gradient norm": func(r *StepResult) { r.GradNorm *= 0.97 },
		"not a number":  func(r *StepResult) { r.Loss = math.NaN() },
	} {
		faulty := append([]StepResult(nil), curve...)
		spoil(&faulty[0])
		r := &recorder{TB: t}
		if compareCurves(r, curve, faulty); !r.failed {
			t.Errorf("%s: not seen", name)
		}
	}
	faulty := append([]StepResult(nil), curve...)
	faulty[len(faulty)-1].Loss *= 1.02
	r := &recorder{TB: t}
	if compareCurves(r, curve, faulty); !r.failed {
		t.Error("the last step's loss: not seen")
	}
}
