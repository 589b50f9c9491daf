package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"so8t/configs"
	"so8t/device"
	"so8t/engine/phi3"
	"so8t/native/nativetest"
)

var ctx = context.Background()

func TestMain(m *testing.M) { nativetest.Main(m) }

func variant(t *testing.T, name string) *oracleSet {
	return openOracle(t, filepath.Join("../testdata/oracle/phi3", name))
}

// trainOptions is a run of two epochs with everything on: dropout, gates, packing, 8-bit states.
func trainOptions(samplesPerStep int) TrainerOptions {
	return TrainerOptions{SamplesPerStep: samplesPerStep, Epochs: 2, LearningRate: 1e-2, WeightDecay: 0.01, WarmupRatio: 0.1, Scheduler: "cosine",
		MaxGradNorm: 1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Optim: "paged_adamw_8bit", Seed: 42}
}

func openTiny(t *testing.T, float32 bool, threads int, change func(*Options)) (*Model, oracleSamples) {
	t.Helper()
	o := variant(t, "gqa")
	options := Options{BasePath: o.dir, Device: device.MustParse(os.Getenv("SO8T_DEVICE")), Threads: threads, Float32: float32, Int8: true, Training: true,
		Algorithms: nativetest.Algorithms(), MaxTokens: 100,
		LoRA: LoRAOptions{R: 4, Alpha: 8, Dropout: 0.1, TargetModules: configs.Projections}, Gates: GateOptions{Enabled: true}, Seed: 42}
	change(&options)
	m, err := Open(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, slices.Repeat(o.samples, 3)
}

func newTiny(t *testing.T, float32 bool, threads int, checkpointing bool) *Trainer {
	t.Helper()
	return newTinyWith(t, float32, threads, func(o *Options) { o.GradientCheckpointing = checkpointing })
}

func newTinyWith(t *testing.T, float32 bool, threads int, change func(*Options)) *Trainer {
	t.Helper()
	m, samples := openTiny(t, float32, threads, change)
	trainer, err := NewTrainer(m, samples, trainOptions(4))
	if err != nil {
		t.Fatal(err)
	}
	return trainer
}

func finish(t *testing.T, trainer *Trainer) []float32 {
	t.Helper()
	for !trainer.Done() {
		if _, err := trainer.Step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	values, err := trainer.model.Parameters(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// TestSameBits: threads, recomputation and an interruption at any step leave no trace in the result.
func TestSameBits(t *testing.T) {
	for _, f32 := range []bool{false, true} {
		want := finish(t, newTiny(t, f32, 1, false))
		for _, threads := range []int{2, 3} {
			if !slices.Equal(want, finish(t, newTiny(t, f32, threads, false))) {
				t.Errorf("float32 %v: %d threads give other bits than one", f32, threads)
			}
		}
		for _, saved := range []string{"inputs", "attention", "all", "auto"} {
			again := newTinyWith(t, f32, 2, func(o *Options) { o.GradientCheckpointing, o.Saved = true, saved })
			if !slices.Equal(want, finish(t, again)) {
				t.Errorf("float32 %v: gradient checkpointing that saves %s gives other bits", f32, saved)
			}
		}
		half := func(checkpointing bool) []float32 {
			return finish(t, newTinyWith(t, f32, 2, func(o *Options) {
				o.Gates.Layers, o.GradientCheckpointing, o.Saved = []int{1}, checkpointing, "attention"
			}))
		}
		if !slices.Equal(half(false), half(true)) {
			t.Errorf("float32 %v: gradient checkpointing gives other bits where not every layer has a gate", f32)
		}
		first := newTiny(t, f32, 2, false)
		for !first.Done() {
			if _, err := first.Step(ctx); err != nil {
				t.Fatal(err)
			}
			if first.Position().Step == 2 {
				break
			}
		}
		state, err := first.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		second := newTiny(t, f32, 2, false)
		if err := second.Restore(ctx, state); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(want, finish(t, second)) {
			t.Errorf("float32 %v: a run resumed at step %d ends elsewhere", f32, state.Step)
		}
		if len(second.Curve().Train) != second.TotalSteps() {
			t.Errorf("the resumed run's curve has %d of %d steps", len(second.Curve().Train), second.TotalSteps())
		}
	}
}

func TestRestoreRefusesOtherRuns(t *testing.T) {
	trainer := newTiny(t, true, 1, false)
	state, err := trainer.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	state.Position.Step = 1000
	if err := trainer.Restore(ctx, state); err == nil {
		t.Error("a position beyond the run's end was accepted")
	}
	state.Position.Step = 0
	state.Tensors[0].Shape[0]--
	if err := trainer.Restore(ctx, state); err == nil {
		t.Error("a state of another size was accepted")
	}
}

// greedy continues a prompt by computing the whole sequence anew for each token.
func greedy(t *testing.T, m *Model, prompt []int32, n int) []int32 {
	t.Helper()
	ids := slices.Clone(prompt)
	for range n {
		logits, err := m.Logits(ctx, [][]int32{ids})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, int32(argmax(logits[0][len(ids)-1])))
	}
	return ids[len(prompt):]
}

func argmax(x []float32) int { return slices.Index(x, slices.Max(x)) }

// TestGenerateMatchesFullPasses: cache, batching, window and longrope's switch of factors change nothing.
func TestGenerateMatchesFullPasses(t *testing.T) {
	for _, name := range []string{"d96", "gqa", "window", "partial", "longrope"} {
		t.Run(name, func(t *testing.T) {
			o := variant(t, name)
			options := o.gated()
			options.MaxLength = 100
			m := o.open(t, options)
			prompts := [][]int32{o.samples[0].InputIDs[:20], o.samples[1].InputIDs[:5], o.samples[0].InputIDs[:1], o.samples[1].InputIDs[:7],
				o.samples[1].InputIDs[2:11]}
			got, err := m.Generate(ctx, prompts, GenerateOptions{MaxNewTokens: 30, BatchSize: 3, EOS: []int32{}})
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range prompts {
				if want := greedy(t, m, p, 30); !slices.Equal(got[i].Tokens, want) {
					t.Errorf("prompt %d: generated %v, full passes give %v", i, got[i].Tokens, want)
				}
			}
			whole, err := m.Generate(ctx, prompts[:1], GenerateOptions{MaxNewTokens: 30, EOS: []int32{got[0].Tokens[3]}})
			if err != nil {
				t.Fatal(err)
			}
			stop := slices.Index(got[0].Tokens, got[0].Tokens[3])
			if !whole[0].Finished || !slices.Equal(whole[0].Tokens, got[0].Tokens[:stop]) {
				t.Errorf("an EOS token at %d gives %v", stop, whole[0])
			}
		})
	}
}

func TestScoreMatchesLoss(t *testing.T) {
	for _, name := range []string{"gqa", "longrope"} {
		o := variant(t, name)
		m := o.open(t, o.gated())
		prompts := [][]int32{o.samples[0].InputIDs[:20], o.samples[1].InputIDs[:5], o.samples[2].InputIDs[:31]}
		continuations := [][]int32{{5}, {9, 8, 7}, {100, 5, 6, 200}}
		scores, err := m.Score(ctx, prompts, continuations)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range prompts {
			for j, c := range continuations {
				ids := slices.Concat(p, c)
				labels := slices.Concat(slices.Repeat([]int32{phi3.Ignore}, len(p)), c)
				sum, targets, err := m.Loss(ctx, [][]int32{ids}, [][]int32{labels})
				if err != nil || targets != len(c) {
					t.Fatal(targets, err)
				}
				if d := sum + scores[i][j]; d > 1e-3 || d < -1e-3 {
					t.Errorf("%s: prompt %d, continuation %d: score %v, loss %v", name, i, j, scores[i][j], sum)
				}
			}
		}
	}
}

// TestBFloat16Close: the bfloat16 path learns as the float32 one does. 8 significand bits over two layers
// and twenty steps: the curves stay within a few per cent.
func TestBFloat16Close(t *testing.T) {
	a, b := newTiny(t, true, 2, false), newTiny(t, false, 2, false)
	for !a.Done() {
		x, err := a.Step(ctx)
		if err != nil {
			t.Fatal(err)
		}
		y, err := b.Step(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if d := y.Loss/x.Loss - 1; d > 0.03 || d < -0.03 {
			t.Errorf("step %d: bfloat16 loss %v, float32 %v", x.Position.Step, y.Loss, x.Loss)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	o := variant(t, "gqa")
	for _, c := range []struct {
		name   string
		change func(*Options)
	}{
		{"base", func(p *Options) { p.BasePath = t.TempDir() }},
		{"target", func(p *Options) { p.LoRA.TargetModules = []string{"qkv_proj"} }},
		{"rank", func(p *Options) { p.LoRA.R = 0 }},
		{"layer", func(p *Options) { p.Gates.Layers = []int{99} }},
		{"device", func(p *Options) { p.Device.Kind = "tpu" }},
		{"length", func(p *Options) { p.MaxTokens = 1 << 20 }},
	} {
		options := Options{BasePath: o.dir, Int8: true, MaxTokens: 64, LoRA: LoRAOptions{R: 4, Alpha: 8, TargetModules: configs.Projections},
			Gates: GateOptions{Enabled: true}}
		c.change(&options)
		if m, err := Open(ctx, options); err == nil {
			m.Close()
			t.Errorf("%s: no error", c.name)
		} else {
			fmt.Fprintln(os.Stderr, c.name+":", err)
		}
	}
}

// TestGatesStayRotations: after training with a rate far too high the gates are still orthogonal, to rounding.
func TestGatesStayRotations(t *testing.T) {
	trainer := newTiny(t, true, 2, false)
	before, err := trainer.model.Parameters(ctx)
	if err != nil {
		t.Fatal(err)
	}
	after := finish(t, trainer)
	theta := trainer.model.params.lora
	if slices.Equal(before[theta:], after[theta:]) {
		t.Error("the gates did not move")
	}
	merger, err := OpenMerger(trainer.model.options)
	if err != nil {
		t.Fatal(err)
	}
	defer merger.Close()
	d, err := merger.GateDeviation(ctx, trainer.model.Adapter(), Flat(after))
	if err != nil || d > 1e-6 || d == 0 { // eight products of numbers up to 1, in float32
		t.Errorf("deviation %g, %v", d, err)
	}
	if skewed := deviation([]float32{63: 2}); skewed < 1 {
		t.Errorf("a matrix that is no rotation deviates by %g", skewed)
	}
}

func TestStepCutShortLeavesTheRun(t *testing.T) {
	trainer := newTiny(t, true, 2, false)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := trainer.step(cancelled); err == nil || trainer.Position().Step != 0 {
		t.Errorf("step %d, error %v", trainer.Position().Step, err)
	}
	want := finish(t, newTiny(t, true, 2, false))
	if !slices.Equal(want, finish(t, trainer)) {
		t.Error("a step that was cut short left a trace")
	}
}
