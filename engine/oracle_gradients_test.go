package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"so8t/engine/phi3"
	"so8t/native"
)

// rows packs the set's samples one by one, or all into one.
func (o *oracleSet) rows(packed bool) (rows [][]phi3.Sequence, targets int) {
	for i, s := range o.samples {
		for _, l := range s.Labels[1:] {
			if l >= 0 {
				targets++
			}
		}
		sequence := phi3.Sequence{IDs: s.InputIDs, Labels: s.Labels, Sample: int32(i)}
		if !packed || len(rows) == 0 {
			rows = append(rows, nil)
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], sequence)
	}
	return rows, targets
}

// gradients runs all samples forward and backward and returns loss and gradients.
func gradients(t *testing.T, m *Model, rows [][]phi3.Sequence, targets int) (loss float64, grad []float32) {
	t.Helper()
	grad = make([]float32, m.params.N)
	err := m.run(context.Background(), func() error {
		m.params.zeroGradients(m.device)
		for _, row := range rows {
			losses, err := m.phi.Train(row, targets, phi3.Dropout{})
			if err != nil {
				return err
			}
			for _, l := range losses {
				loss += float64(l) / float64(targets)
			}
		}
		if err := m.phi.FinishGradients(); err != nil {
			return err
		}
		return native.Download(m.device, grad, m.params.grad)
	})
	if err != nil {
		t.Fatal(err)
	}
	return loss, grad
}

// checkGradients compares loss and every gradient with the oracle's.
func (o *oracleSet) checkGradients(t *testing.T, m *Model, loss float64, grad []float32) {
	t.Helper()
	if want := float64(o.float32s(t, "loss")[0]); !(math.Abs(loss-want) <= curveTolerance*want) {
		t.Errorf("loss %v, the oracle's is %v", loss, want)
	}
	compared := 0
	compare := func(name string, got, want []float32) {
		norm, difference := 0.0, 0.0
		for i := range want {
			norm += float64(want[i]) * float64(want[i])
			difference += (float64(got[i]) - float64(want[i])) * (float64(got[i]) - float64(want[i]))
		}
		if !(math.Sqrt(difference) <= gradTolerance*math.Sqrt(norm)) {
			t.Errorf("%s: gradient differs by %.2g of its norm", name, math.Sqrt(difference/norm))
		}
		compared++
	}
	part := Flat(grad)
	theta := o.float32s(t, "grad.theta")
	for i := range m.params.Weights {
		w := &m.params.Weights[i]
		compare(peftName(w, "lora_A"), part(w.A), o.float32s(t, "grad."+peftName(w, "lora_A")))
		fused := o.float32s(t, "grad."+peftName(w, "lora_B")) // off the diagonal blocks it is masked to zero
		r, columns := o.lora.R, len(w.Slices)*o.lora.R
		for j, s := range w.Slices {
			want := make([]float32, 0, s.B.Size())
			for row := s.Begin; row < s.Begin+s.Rows; row++ {
				want = append(want, fused[row*columns+j*r:row*columns+(j+1)*r]...)
			}
			compare(s.B.Name, part(s.B), want)
		}
		if w.Theta != nil {
			compare(w.Theta.Name, part(w.Theta), theta[w.Layer*w.Theta.Size():(w.Layer+1)*w.Theta.Size()])
		}
	}
	if want := (4 + 7 + 1) * len(m.phi.Layers); compared != want { // A of fused weights, B of projections, θ
		t.Errorf("compared %d gradients of %d", compared, want)
	}
}

func TestOracleGradients(t *testing.T) {
	eachOracle(t, func(t *testing.T, o *oracleSet) {
		for _, saved := range []string{"all", "attention", "inputs"} {
			for _, packed := range []bool{false, true} {
				t.Run(fmt.Sprintf("saved=%s,packed=%v", saved, packed), func(t *testing.T) {
					options := o.gated()
					options.GradientCheckpointing, options.Saved = true, saved
					m := o.open(t, options)
					rows, targets := o.rows(packed)
					loss, grad := gradients(t, m, rows, targets)
					o.checkGradients(t, m, loss, grad)
				})
			}
		}
	})
}

func TestOracleCurves(t *testing.T) {
	eachOracle(t, func(t *testing.T, o *oracleSet) {
		var curves map[string][]Point
		text, err := os.ReadFile(filepath.Join(o.dir, "curves.json"))
		if err == nil {
			err = json.Unmarshal(text, &curves)
		}
		if err != nil {
			t.Fatal(err)
		}
		for name, options := range map[string]Options{"float32_base": {LoRA: o.lora}, "int8_base_with_gates": o.gated()} {
			t.Run(name, func(t *testing.T) {
				steps := len(curves[name])
				if steps == 0 {
					t.Fatalf("no curve %q", name)
				}
				trainer, err := NewTrainer(o.open(t, options), o.samples, TrainerOptions{SamplesPerStep: len(o.samples), Epochs: steps,
					LearningRate: 1e-2, WeightDecay: 0.01, WarmupSteps: 3, Scheduler: "cosine", MaxGradNorm: 1, Beta1: 0.9, Beta2: 0.999,
					Epsilon: 1e-8, Optim: "adamw_torch"})
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range curves[name] {
					got, err := trainer.Step(context.Background())
					if err != nil {
						t.Fatal(err)
					}
					for what, pair := range map[string][2]float64{"loss": {got.Loss, want.Loss}, "grad_norm": {got.GradNorm, want.GradNorm},
						"learning_rate": {got.LearningRate, want.LearningRate}} {
						tolerance := curveTolerance
						if what == "grad_norm" && !onCPU() {
							tolerance = gpuNormTolerance
						}
						if !(math.Abs(pair[0]-pair[1]) <= tolerance*math.Abs(pair[1])) {
							t.Errorf("step %d: %s %v, the oracle's is %v", i+1, what, pair[0], pair[1])
						}
					}
				}
			})
		}
	})
}
