package engine

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"so8t/configs"
	"so8t/device"
	"so8t/engine/phi3"
	"so8t/native"
	"so8t/native/nativetest"
)

// openForm opens the tiny model with LoRA in a form, whatever the device would choose.
func openForm(t *testing.T, form adapterForm, change func(*Options)) (*Model, oracleSamples) {
	t.Helper()
	set := variant(t, "gqa")
	o := Options{BasePath: set.dir, Device: device.MustParse(os.Getenv("SO8T_DEVICE")), Algorithms: nativetest.Algorithms(), Threads: 1,
		Int8: true, Training: true, MaxTokens: 210, Gates: GateOptions{Enabled: true}, Seed: 42,
		LoRA: LoRAOptions{R: 16, Alpha: 32, Dropout: 0.1, TargetModules: configs.Projections}}
	change(&o)
	m := &Model{options: o, thread: newThread(), adapted: true}
	t.Cleanup(func() { m.Close() })
	err := m.thread.do(func() (err error) {
		if err = m.layOut(); err != nil {
			return err
		}
		if m.device, err = o.openDevice(); err != nil {
			return err
		}
		saved := phi3.SavedAll
		if o.GradientCheckpointing {
			saved = phi3.Saved(o.Saved)
		}
		m.take(layout{saved, form})
		return m.load(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, slices.Repeat(set.samples, 3)
}

// outcome is all that a short training leaves: its losses, the trained numbers, and the samples' losses afterwards with the
// adapter and without.
type outcome struct {
	losses                    []float64
	parameters, with, without []float32
}

// trainForm trains two steps. Some rows of a step are as short as those that are multiplied without expanding.
func trainForm(t *testing.T, form adapterForm, change func(*Options)) (out outcome) {
	t.Helper()
	m, samples := openForm(t, form, change)
	options := trainOptions(len(samples))
	options.Epochs = 2
	trainer, err := NewTrainer(m, samples, options)
	if err != nil {
		t.Fatal(err)
	}
	out.parameters = finish(t, trainer)
	for _, p := range trainer.Curve().Train {
		out.losses = append(out.losses, p.Loss)
	}
	var sequences []phi3.Sequence
	for _, s := range samples[:6] {
		sequences = append(sequences, phi3.Sequence{IDs: s.InputIDs, Labels: s.Labels})
	}
	err = m.run(ctx, func() (err error) {
		if out.with, err = m.phi.Loss(sequences, true); err == nil {
			out.without, err = m.phi.Loss(sequences, false)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSameBitsInEachForm: where LoRA is read, and whether the base is kept expanded, changes no result.
func TestSameBitsInEachForm(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"dropout":                  func(*Options) {},
		"no dropout, inputs saved": func(o *Options) { o.LoRA.Dropout, o.GradientCheckpointing, o.Saved = 0, true, "inputs" },
		"float32, rank 8":          func(o *Options) { o.Float32, o.LoRA.R = true, 8 },
		"two projections, one gate, attention saved": func(o *Options) {
			o.LoRA.R, o.LoRA.TargetModules, o.Gates.Layers = 8, []string{"k_proj", "down_proj"}, []int{1}
			o.GradientCheckpointing, o.Saved = true, "attention"
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := trainForm(t, asTrained, change)
			for _, form := range []adapterForm{copied, inExpanded} {
				got := trainForm(t, form, change)
				if !slices.Equal(got.losses, want.losses) {
					t.Errorf("form %d: losses %v, want %v", form, got.losses, want.losses)
				}
				for what, x := range map[string][2][]float32{"parameters": {got.parameters, want.parameters}, "losses with the adapter": {got.with, want.with},
					"losses without it": {got.without, want.without}} {
					if n := different(x[0], x[1]); n > 0 || len(x[1]) == 0 {
						t.Errorf("form %d: %d of %d %s differ", form, n, len(x[1]), what)
					}
				}
			}
		})
	}
}

func different(a, b []float32) (n int) {
	for i := range b {
		if i >= len(a) || a[i] != b[i] {
			n++
		}
	}
	return n
}

// TestExpandedHoldsTheAdapter: A and B stand beside each weight as the trainer has them, zeros elsewhere, after each way in which
// they change.
func TestExpandedHoldsTheAdapter(t *testing.T) {
	m, samples := openForm(t, inExpanded, func(o *Options) {
		o.LoRA.R, o.LoRA.TargetModules = 4, []string{"q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"}
	})
	trainer, err := NewTrainer(m, samples, trainOptions(len(samples)))
	if err != nil {
		t.Fatal(err)
	}
	checkPlaces(t, m)
	state, err := trainer.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Release()
	before := finish(t, trainer)
	checkPlaces(t, m)
	if err := trainer.Restore(ctx, state); err != nil {
		t.Fatal(err)
	}
	checkPlaces(t, m)
	if err := m.SetParameters(ctx, before); err != nil {
		t.Fatal(err)
	}
	checkPlaces(t, m)
}

// TestExpandedIsRead: with a layer's expanded weights zeroed a GPU loses the way through them, forward and backward, except that
// few rows go forward by the int8 weights; a CPU knows no difference.
func TestExpandedIsRead(t *testing.T) {
	m, samples := openForm(t, inExpanded, func(o *Options) { o.LoRA.Dropout = 0 })
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	const few = 8
	short := []phi3.Sequence{{IDs: samples[0].InputIDs[:few], Labels: samples[0].InputIDs[:few]}}
	var long []phi3.Sequence
	for _, s := range samples[:6] {
		long = append(long, phi3.Sequence{IDs: s.InputIDs, Labels: s.Labels})
	}
	type results struct{ short, gradients, long []float32 }
	compute := func() (r results) {
		err := m.run(ctx, func() (err error) {
			if r.long, err = m.phi.Loss(long, true); err != nil {
				return err
			}
			m.params.zeroGradients(m.device)
			if r.short, err = m.phi.Train(short, few-1, phi3.Dropout{}); err != nil {
				return err
			}
			r.gradients = make([]float32, m.params.N)
			return native.Download(m.device, r.gradients, m.params.grad)
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before := compute()
	for _, l := range m.phi.Layers[1].Linears() {
		w := l.LoRA.A.Row(-l.Out)
		if err := m.run(ctx, func() error {
			m.device.Zero(&native.Zero{Rows: int64(l.Out), Columns: int64(l.In), X: w})
			return m.device.Err()
		}); err != nil {
			t.Fatal(err)
		}
	}
	after := compute()
	for what, wrong := range map[string]bool{
		"few rows, forward":  different(after.short, before.short) > 0,
		"many rows, forward": (different(after.long, before.long) > 0) != isGPU(info),
		"backward":           (different(after.gradients, before.gradients) > 0) != isGPU(info),
	} {
		if wrong {
			t.Errorf("%s: not read as it should be, on %s", what, info.ISA)
		}
	}
}

// checkPlaces compares what stands beside and below each weight with the trained numbers, rounded.
func checkPlaces(t *testing.T, m *Model) {
	t.Helper()
	values, err := m.Parameters(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range m.Adapter().Weights {
		if w.A == nil {
			continue
		}
		a := m.phi.Layers[w.Layer].Linears()[w.linear].LoRA.A
		columns, stride := w.In+w.A.Rows, int(a.Stride)
		whole := make([]uint16, (w.Out+w.A.Rows)*stride)
		whole = whole[:len(whole)-stride+columns] // the last row may end where its numbers do
		if err := m.run(ctx, func() error { return native.Download(m.device, whole, a.Row(-w.Out)) }); err != nil {
			t.Fatal(err)
		}
		want := make([]uint16, len(whole))
		fill := func(p *Parameter, row, column int) {
			for i := range p.Size() {
				want[(row+i/p.Columns)*stride+column+i%p.Columns] = bfloat16(values[p.Offset+i])
			}
		}
		fill(w.A, w.Out, 0)
		for i, s := range w.Slices {
			fill(s.B, s.Begin, w.In+i*m.Adapter().LoRA.R)
		}
		wrong := 0
		for i := range whole {
			if base := i/stride < w.Out && i%stride < w.In; !base && whole[i] != want[i] {
				wrong++
			}
		}
		if wrong > 0 {
			t.Errorf("layer %d %s: %d numbers beside the weight are wrong", w.Layer, w.Name, wrong)
		}
	}
}

// bfloat16 rounds to nearest, ties to even.
func bfloat16(x float32) uint16 {
	bits := math.Float32bits(x)
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// TestKeepExpanded: a GPU with memory keeps the expanded weights unless the key says no; a CPU refuses to.
func TestKeepExpanded(t *testing.T) {
	on := device.MustParse(os.Getenv("SO8T_DEVICE"))
	gpu := on.Kind == device.CUDA || on.Kind == device.Emulated
	for keep, want := range map[configs.Switch]bool{configs.Auto: gpu, configs.On: gpu, configs.Off: false} {
		m, err := Open(ctx, Options{BasePath: variant(t, "gqa").dir, Device: on, Int8: true, Training: true, MaxTokens: 100, KeepExpanded: keep,
			Algorithms: nativetest.Algorithms()})
		if keep == configs.On && !gpu {
			if err == nil || !strings.Contains(err.Error(), "model.keep_expanded") {
				t.Errorf("expanded weights on a CPU: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		uses, err := m.Memory()
		held := slices.ContainsFunc(uses, func(u native.Use) bool { return u.Purpose == "expanded weights" && u.Held > 0 })
		if err != nil || m.Expanded() != want || held != want {
			t.Errorf("keep_expanded %s: kept %v, memory held for it %v (%v), want %v", keep, m.Expanded(), held, err, want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
