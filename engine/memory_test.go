package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"so8t/configs"
	"so8t/device"
	"so8t/engine/phi3"
	"so8t/native"
	"so8t/native/nativetest"
)

// TestPlanIsWhatIsAllocated: purpose for purpose, byte for byte, in whatever way a model is opened.
func TestPlanIsWhatIsAllocated(t *testing.T) {
	all := LoRAOptions{R: 3, Alpha: 8, TargetModules: configs.Projections}
	some := LoRAOptions{R: 4, Alpha: 8, TargetModules: []string{"k_proj", "down_proj"}}
	for _, o := range []Options{
		{Float32: true, Training: true, LoRA: all, Gates: GateOptions{Enabled: true}, Optim: "adamw_torch"},
		{Int8: true, Training: true, LoRA: all, Optim: "paged_adamw_8bit"},
		{Int8: true, Training: true, LoRA: all, Gates: GateOptions{Enabled: true, Layers: []int{1}}, Optim: "adamw_8bit", GradientCheckpointing: true,
			Saved: "attention"},
		{Int8: true, Training: true, LoRA: some, Gates: GateOptions{Enabled: true}, Optim: "adamw_torch", GradientCheckpointing: true},
		{Training: true, Gates: GateOptions{Enabled: true}, Optim: "paged_adamw_8bit"},
		{Int8: true, LoRA: all, Gates: GateOptions{Enabled: true}},
		{},
	} {
		for _, name := range []string{"gqa", "longrope"} { // one of them with tied embeddings, or not, and two tables
			set := variant(t, name)
			o.BasePath, o.Device, o.MaxTokens, o.MaxLength = set.dir, device.MustParse(os.Getenv("SO8T_DEVICE")), 77, 50
			o.Algorithms = nativetest.Algorithms()
			m, err := Open(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			if o.Training {
				if _, err := NewTrainer(m, set.samples[:1], TrainerOptions{SamplesPerStep: 1, Epochs: 1, Scheduler: "cosine", Optim: o.Optim}); err != nil {
					t.Fatal(err)
				}
			}
			err = m.run(ctx, func() error {
				if !o.Training {
					if _, err := m.phi.NewCache(1, 50, phi3.Pages(50)); err != nil {
						return err
					}
				}
				uses, err := m.device.Memory()
				if err != nil {
					return err
				}
				needs, err := m.needs(m.saved)
				if err != nil {
					return err
				}
				planned, held := planOf(needs), []phi3.Need(nil)
				for _, u := range uses {
					held = append(held, phi3.Need{Purpose: u.Purpose, Bytes: int64(u.Held)})
				}
				if got := planOf(held); fmt.Sprint(got) != fmt.Sprint(planned) {
					t.Errorf("%s, %+v:\nplanned %v\nheld    %v", name, o, planned, got)
				}
				info, err := m.device.Info()
				if int64(info.HeldBytes) != planned.total {
					t.Errorf("%s: %d bytes are held, %d were planned", name, info.HeldBytes, planned.total)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// unopened is a model that decide can be asked about.
func unopened(t *testing.T, o Options) *Model {
	t.Helper()
	o.MaxTokens, o.MaxLength, o.LoRA = 100, 100, LoRAOptions{R: 4, Alpha: 8, TargetModules: configs.Projections}
	o.BasePath, o.Int8 = variant(t, "gqa").dir, true
	m := &Model{options: o}
	if err := m.layOut(); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDecide: a GPU saves the most that fits, and what does not fit is refused with the names of what would help.
func TestDecide(t *testing.T) {
	o := Options{Training: true, GradientCheckpointing: true, Optim: "adamw_torch"}
	m := unopened(t, o)
	needed := func(saved phi3.Saved) int64 {
		needs, err := m.needs(saved)
		if err != nil {
			t.Fatal(err)
		}
		return planOf(needs).total + m.phi.Workspace()
	}
	needs, _ := m.needs(phi3.SavedAll)
	snapshot := planOf(needs).snapshotBytes()
	if !(needed(phi3.SavedAll) > needed(phi3.SavedAttention) && needed(phi3.SavedAttention) > needed(phi3.SavedInputs)) {
		t.Errorf("needed: all %d, attention %d, inputs %d", needed(phi3.SavedAll), needed(phi3.SavedAttention), needed(phi3.SavedInputs))
	}
	for _, c := range []struct {
		isa  string
		free int64
		want phi3.Saved
	}{
		{"sm_90", 1 << 40, phi3.SavedAll}, {"sm_90", needed(phi3.SavedAll) + snapshot, phi3.SavedAll},
		{"sm_90", needed(phi3.SavedAll) + snapshot - 1, phi3.SavedAttention}, {"sm_90", needed(phi3.SavedAttention) + snapshot - 1, phi3.SavedInputs},
		{"sm_90", needed(phi3.SavedInputs), phi3.SavedInputs}, {"avx2", 1 << 40, phi3.SavedInputs},
	} {
		got, err := m.decide(native.Info{ISA: c.isa, FreeBytes: uint64(c.free)})
		if err != nil || got != c.want {
			t.Errorf("%s with %d bytes: saves %q (%v), want %q", c.isa, c.free, got, err, c.want)
		}
	}
	_, err := m.decide(native.Info{ISA: "sm_90", FreeBytes: uint64(needed(phi3.SavedInputs) - 1)})
	for _, want := range []string{"out of memory", "workspace", "data.max_seq_length", "training.lora_r", "training.optim"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the refusal does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "gradient_checkpointing") {
		t.Errorf("the refusal names what is on already: %v", err)
	}
	_, err = unopened(t, Options{Training: true, Optim: "adamw_8bit"}).decide(native.Info{ISA: "avx2", FreeBytes: 1 << 16})
	if err == nil || !strings.Contains(err.Error(), "training.gradient_checkpointing: true") || strings.Contains(err.Error(), "training.optim") {
		t.Errorf("refused with %v", err)
	}
	if _, err := unopened(t, Options{GradientCheckpointing: true, Saved: "some"}).decide(native.Info{}); err == nil {
		t.Error("a mode that does not exist was accepted")
	}
}
