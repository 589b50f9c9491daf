package engine

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"so8t/configs"
	"so8t/device"
	"so8t/engine/phi3"
	"so8t/native/nativetest"
)

// TestPlanIsWhatIsAllocated: purpose for purpose, byte for byte, in whatever way a model is opened.
func TestPlanIsWhatIsAllocated(t *testing.T) {
	all := LoRAOptions{R: 8, Alpha: 8, TargetModules: configs.Projections}
	some := LoRAOptions{R: 4, Alpha: 8, TargetModules: []string{"k_proj", "down_proj"}}
	for _, o := range []Options{
		{Float32: true, Training: true, LoRA: all, Gates: GateOptions{Enabled: true}, Optim: "adamw_torch"},
		{Int8: true, Training: true, LoRA: all, Optim: "paged_adamw_8bit"},
		{Int8: true, Training: true, LoRA: all, Gates: GateOptions{Enabled: true, Layers: []int{1}}, Optim: "adamw_8bit", GradientCheckpointing: true,
			Saved: "attention"},
		{Int8: true, Training: true, LoRA: some, Gates: GateOptions{Enabled: true}, Optim: "adamw_torch", GradientCheckpointing: true},
		{Training: true, Gates: GateOptions{Enabled: true}, Optim: "paged_adamw_8bit"},
		{Int8: true, Training: true, LoRA: all, Gates: GateOptions{Enabled: true}, Optim: "adamw_8bit", KeepExpanded: configs.Off},
		{Int8: true, Float32: true, Training: true, LoRA: some, Optim: "adamw_8bit"},
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
				needs, err := m.needs()
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
	o.MaxTokens, o.MaxLength, o.LoRA = 100, 100, LoRAOptions{R: 8, Alpha: 8, TargetModules: configs.Projections}
	o.BasePath, o.Int8 = variant(t, "gqa").dir, true
	m := &Model{options: o}
	if err := m.layOut(); err != nil {
		t.Fatal(err)
	}
	return m
}

// needed is what a GPU needs for a layout, and of it what a checkpoint copies.
func needed(t *testing.T, m *Model, l layout) (total, snapshot int64) {
	t.Helper()
	m.take(l)
	needs, err := m.needs()
	if err != nil {
		t.Fatal(err)
	}
	p := planOf(needs)
	return p.total + m.workspace(), p.snapshotBytes()
}

// TestDecide: a GPU saves the most that fits, then holds LoRA and the base in the compute type where they fit as well; what
// does not fit is refused with the names of what would help.
func TestDecide(t *testing.T) {
	o := Options{Training: true, GradientCheckpointing: true, Optim: "adamw_torch"}
	for _, keep := range []configs.Switch{configs.Auto, "", configs.On, configs.Off} {
		forms := map[configs.Switch][]adapterForm{configs.On: {inExpanded}, configs.Off: {copied, asTrained}}[keep]
		if forms == nil {
			forms = []adapterForm{inExpanded, copied, asTrained}
		}
		o.KeepExpanded = keep
		m := unopened(t, o)
		var order []layout
		for _, saved := range []phi3.Saved{phi3.SavedAll, phi3.SavedAttention, phi3.SavedInputs} {
			for _, form := range forms {
				order = append(order, layout{saved, form})
			}
		}
		var least int64
		var bounds []int64 // of free memory, from which on a layout fits beside a checkpoint's copy
		for _, l := range order {
			total, snapshot := needed(t, m, l)
			least, bounds = total, append(bounds, total+snapshot)
		}
		for _, free := range append(slices.Clone(bounds), 1<<40, least) {
			for _, free := range []int64{max(free-1, least), free} {
				i := slices.IndexFunc(bounds, func(bound int64) bool { return bound <= free })
				if i < 0 {
					i = len(order) - 1
				}
				if _, err := m.decide(true, free); err != nil || m.layout != order[i] {
					t.Errorf("keep_expanded %q with %d bytes: %+v (%v), want %+v", keep, free, m.layout, err, order[i])
				}
			}
		}
		_, err := m.decide(true, least-1)
		for _, want := range []string{"out of memory", "workspace", "data.max_seq_length", "training.lora_r", "training.optim"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the refusal does not say %q: %v", want, err)
			}
		}
		says := func(key string) bool { return err != nil && strings.Contains(err.Error(), key) }
		if says("gradient_checkpointing") || says("model.keep_expanded") != (keep == configs.On) {
			t.Errorf("keep_expanded %q: the refusal names what is on already, or not what would help: %v", keep, err)
		}
	}
}

// TestDecideOnCPU: inputs are saved and int8 is read as it lies; answers are generated so on a GPU, too.
func TestDecideOnCPU(t *testing.T) {
	const roomy = 1 << 40
	training := Options{Training: true, GradientCheckpointing: true, Optim: "adamw_8bit"}
	for _, c := range []struct {
		o    Options
		gpu  bool
		want layout
	}{
		{training, false, layout{phi3.SavedInputs, copied}}, {Options{}, false, layout{phi3.SavedAll, copied}},
		{Options{}, true, layout{phi3.SavedAll, copied}},
	} {
		m := unopened(t, c.o)
		if _, err := m.decide(c.gpu, roomy); err != nil || m.layout != c.want {
			t.Errorf("GPU %v, training %v: %+v (%v), want %+v", c.gpu, c.o.Training, m.layout, err, c.want)
		}
	}
	_, err := unopened(t, Options{Training: true, Optim: "adamw_8bit"}).decide(false, 1<<16)
	if err == nil || !strings.Contains(err.Error(), "training.gradient_checkpointing: true") || strings.Contains(err.Error(), "training.optim") {
		t.Errorf("refused with %v", err)
	}
	if _, err := unopened(t, Options{GradientCheckpointing: true, Saved: "some"}).decide(false, 0); err == nil {
		t.Error("a mode that does not exist was accepted")
	}
	training.KeepExpanded = configs.On
	if _, err := unopened(t, training).decide(false, roomy); err == nil || !strings.Contains(err.Error(), "model.keep_expanded: true") {
		t.Errorf("expanded weights on a CPU: %v", err)
	}
	wide := unopened(t, training)
	wide.options.Int8 = false
	if _, err := wide.decide(true, roomy); err == nil || !strings.Contains(err.Error(), "model.keep_expanded: true") {
		t.Errorf("expanded weights of a base in 16 bits: %v", err)
	}
	odd := unopened(t, training)
	odd.options.LoRA.R = 12
	if _, err := odd.decide(true, roomy); err == nil || !strings.Contains(err.Error(), "training.lora_r") {
		t.Errorf("expanded weights beside rows of B that begin anywhere: %v", err)
	}
	odd.options.KeepExpanded = configs.Auto
	if _, err := odd.decide(true, roomy); err != nil || odd.layout != (layout{phi3.SavedAll, asTrained}) {
		t.Errorf("rows of B that begin anywhere: %+v, %v", odd.layout, err)
	}
	training.KeepExpanded = "maybe"
	if _, err := unopened(t, training).decide(true, roomy); err == nil {
		t.Error("a switch that is none was accepted")
	}
}

// TestWorkspace: expanded weights need no scratch memory for the largest of them, and dropout needs some for every row.
func TestWorkspace(t *testing.T) {
	m := unopened(t, Options{Training: true})
	gateUp := m.phi.Layers[0].GateUp
	weight := int64(gateUp.Out) * int64(gateUp.In) * 2
	plain := m.phi.Workspace(true, false)
	m.phi.KeepExpanded(true)
	if saved := plain - m.phi.Workspace(true, false); saved < 2*weight || saved > 4*weight {
		t.Errorf("expanded weights save %d bytes of scratch memory, the largest weight has %d", saved, weight)
	}
	down := m.phi.Layers[0].Down
	rows := int64(m.phi.MaxTokens()) * int64(down.In) * 2
	if copies := m.phi.Workspace(true, true) - 512<<20; copies < 2*rows {
		t.Errorf("with dropout copies may take %d bytes, a matrix of the widest input takes %d", copies, rows)
	}
	if m.phi.Workspace(false, true) != m.phi.Workspace(false, false) {
		t.Error("answers are generated without dropout")
	}
}

// TestWorkspaceOfCuDNN: where cuDNN may do attention, its plan's workspace and dq in float32 are counted.
func TestWorkspaceOfCuDNN(t *testing.T) {
	counted := func(training bool, change func(*Options), without bool) bool {
		o := Options{Training: training}
		change(&o)
		m := unopened(t, o)
		if !without {
			m.phi.WithCuDNN()
		}
		c := m.phi.Config
		dq := int64(m.phi.MaxTokens()) * int64(c.HiddenSize+2*c.KVSize()) * 4
		return m.phi.Workspace(training, false) >= 512<<20+2*(320<<20+dq)
	}
	same := func(*Options) {}
	if !counted(true, same, false) {
		t.Error("it is not counted")
	}
	if counted(false, same, false) || counted(true, same, true) || counted(true, func(o *Options) { o.Float32 = true }, false) {
		t.Error("it is counted where the library's own kernels run")
	}
}

// TestDecideAhead: what a GPU will take can be asked without one.
func TestDecideAhead(t *testing.T) {
	m := unopened(t, Options{Training: true, GradientCheckpointing: true, Optim: "adamw_torch"})
	for free, want := range map[int64]string{1 << 40: "all true", 1 << 20: "inputs false"} {
		d, err := Decide(m.options, free)
		if got := fmt.Sprint(d.Saved, " ", d.Expanded); got != want || (err != nil) != (free == 1<<20) {
			t.Errorf("with %d bytes: %s (%v), want %s", free, got, err, want)
		}
		if len(d.Needs) == 0 || !slices.ContainsFunc(d.Needs, func(n phi3.Need) bool { return strings.HasPrefix(n.Purpose, "workspace") }) {
			t.Errorf("with %d bytes: %v", free, d.Needs)
		}
	}
}
