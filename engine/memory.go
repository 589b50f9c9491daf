package engine

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"so8t/configs"
	"so8t/device"
	"so8t/engine/phi3"
	"so8t/native"
)

// buffer is a flat tensor's memory, planned first and allocated later.
type buffer struct {
	to      *native.Tensor
	dtype   native.DType
	n       int
	purpose string
}

func (b buffer) bytes() int64 { return int64(b.n) * int64(b.dtype.Size()) }

// Purposes that a checkpoint copies.
const (
	parametersPurpose = "trained parameters"
	optimizerPurpose  = "optimizer"
)

// allocate gives each tensor its memory, except for empty ones.
func allocate(d *native.Device, buffers []buffer) error {
	for _, b := range buffers {
		if b.n == 0 {
			continue
		}
		memory, err := d.Alloc(b.bytes(), b.purpose)
		if err != nil {
			return err
		}
		*b.to = memory.Tensor(b.dtype, 0, b.n)
	}
	return nil
}

// memoryPlan is the memory that a model and its trainer take, by purpose, the largest first.
type memoryPlan struct {
	needs []phi3.Need
	total int64
}

// planOf sums needs up by purpose.
func planOf(needs []phi3.Need) (p memoryPlan) {
	byPurpose := map[string]int64{}
	for _, n := range needs {
		byPurpose[n.Purpose] += n.Bytes
	}
	for purpose, bytes := range byPurpose {
		if bytes > 0 {
			p.needs, p.total = append(p.needs, phi3.Need{Purpose: purpose, Bytes: bytes}), p.total+bytes
		}
	}
	slices.SortFunc(p.needs, func(a, b phi3.Need) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Purpose, b.Purpose))
	})
	return p
}

// layout is how a model is held.
type layout struct {
	saved phi3.Saved // of a layer, for the backward pass
	form  adapterForm
}

// take lets plans and Open follow a layout.
func (m *Model) take(l layout) {
	m.layout, m.params.form = l, l.form
	m.phi.KeepExpanded(l.form == inExpanded)
}

// needs are what Open and, for training, NewTrainer allocate, from the model's shape and layout alone.
func (m *Model) needs() ([]phi3.Need, error) {
	buffers := m.params.buffers(m.phi.Compute())
	if m.options.Training && m.options.Optim != "" {
		states, err := (&optimizer{options: TrainerOptions{Optim: m.options.Optim}, ps: m.params}).layOut()
		if err != nil {
			return nil, err
		}
		buffers = append(buffers, states...)
	}
	needs := m.phi.Plan(m.options.Training, m.layout.saved)
	for _, b := range buffers {
		needs = append(needs, phi3.Need{Purpose: b.purpose, Bytes: b.bytes()})
	}
	return needs, nil
}

// snapshotBytes is the memory of the copy that a checkpoint takes on the device.
func (p memoryPlan) snapshotBytes() (n int64) {
	for _, need := range p.needs {
		if need.Purpose == parametersPurpose || need.Purpose == optimizerPurpose {
			n += need.Bytes
		}
	}
	return n
}

// workspace is the memory that a GPU's library takes on top.
func (m *Model) workspace() int64 {
	return m.phi.Workspace(m.options.Training, m.options.LoRA.Dropout > 0)
}

// decide takes the best layout that the device has memory for, and fails before minutes of loading if there is none. It must
// leave memory for a checkpoint's copy; the leanest is taken without.
func (m *Model) decide(gpu bool, free int64) (p memoryPlan, err error) {
	layouts, err := m.layouts(gpu)
	if err != nil {
		return p, err
	}
	for i, l := range layouts {
		m.take(l)
		needs, err := m.needs()
		if err != nil {
			return p, err
		}
		if gpu {
			needs = append(needs, phi3.Need{Purpose: "workspace of the GPU's library", Bytes: m.workspace()})
		}
		p = planOf(needs)
		available := free
		if i < len(layouts)-1 {
			available -= p.snapshotBytes()
		}
		if p.total <= available {
			return p, nil
		}
	}
	return p, m.options.tooLarge(p, free)
}

// layouts are those that the options allow, the best first: what is saved for the backward pass counts more than LoRA in the
// compute type, and that more than the base in it.
func (m *Model) layouts(gpu bool) (list []layout, err error) {
	modes, err := m.options.savedModes(gpu)
	if err != nil {
		return nil, err
	}
	forms, err := m.adapterForms(gpu)
	if err != nil {
		return nil, err
	}
	for _, saved := range modes {
		for _, form := range forms {
			list = append(list, layout{saved, form})
		}
	}
	return list, nil
}

// savedModes are the modes that the options allow, the one with the most memory first. On a CPU auto means inputs: memory
// is better left to the page cache there.
func (o Options) savedModes(gpu bool) ([]phi3.Saved, error) {
	switch {
	case !o.GradientCheckpointing:
		return []phi3.Saved{phi3.SavedAll}, nil
	case o.Saved != "" && !slices.Contains(configs.SavedActivations, o.Saved):
		return nil, fmt.Errorf("gradient_checkpointing_keep: %q is not one of %s", o.Saved, strings.Join(configs.SavedActivations, ", "))
	case o.Saved != "" && o.Saved != "auto":
		return []phi3.Saved{phi3.Saved(o.Saved)}, nil
	case gpu:
		return []phi3.Saved{phi3.SavedAll, phi3.SavedAttention, phi3.SavedInputs}, nil
	}
	return []phi3.Saved{phi3.SavedInputs}, nil
}

// adapterForms are the forms that the options allow, the fastest first. Only training on a GPU has a choice: answers are
// generated from the int8 rows, as few rows of activations are, and on a CPU everything is.
func (m *Model) adapterForms(gpu bool) ([]adapterForm, error) {
	o := m.options
	expandable := o.Training && gpu && o.Int8 && m.aligned()
	switch o.KeepExpanded {
	case configs.On:
		if !expandable {
			return nil, errors.New("model.keep_expanded: true is for training on a GPU, with int8 weights and a training.lora_r that 8 divides")
		}
		return []adapterForm{inExpanded}, nil
	case configs.Auto, configs.Off, "":
	default:
		return nil, fmt.Errorf("model.keep_expanded: %q is not auto, true or false", o.KeepExpanded)
	}
	var list []adapterForm
	if expandable && o.KeepExpanded != configs.Off {
		list = append(list, inExpanded)
	}
	inTraining := o.Training && gpu
	if !o.Float32 && (!inTraining || m.aligned()) {
		list = append(list, copied)
	}
	if o.Float32 || inTraining {
		list = append(list, asTrained)
	}
	return list, nil
}

// aligned reports whether the rows of A and B begin on 16 bytes in every form. Where they do not, a GPU's products take other
// algorithms, and the bits of a run would depend on the memory that was free.
func (m *Model) aligned() bool {
	c, lora := m.phi.Config, m.options.LoRA
	return (len(lora.TargetModules) == 0 || lora.R%8 == 0) && c.HiddenSize%8 == 0 && c.IntermediateSize%8 == 0
}

func isGPU(info native.Info) bool { return strings.HasPrefix(info.ISA, "sm_") }

// cuDNN is whether it may do the attention of training: where it is asked for, and on a Hopper, as it has no engine that adds in
// a fixed order on another GPU.
func cuDNN(info native.Info) bool {
	asked := os.Getenv("SO8T_CUDA_ATTENTION")
	return (asked == "auto" || asked == "cudnn") && strings.HasPrefix(info.ISA, "sm_9")
}

// tooLarge names the largest purposes and the keys of the configuration that decide them.
func (o Options) tooLarge(p memoryPlan, free int64) error {
	const shown = 5
	var largest []string
	for _, n := range p.needs[:min(shown, len(p.needs))] {
		largest = append(largest, fmt.Sprintf("%s %.2f GB", n.Purpose, gigabytes(n.Bytes)))
	}
	keys := []string{"a smaller data.max_seq_length"}
	if o.Training {
		keys = append(keys, "a smaller training.per_device_train_batch_size", "a smaller training.lora_r")
		if !configs.Optimizers[o.Optim] {
			keys = append(keys, "an 8-bit training.optim")
		}
		if o.KeepExpanded == configs.On {
			keys = append(keys, "model.keep_expanded: auto")
		}
		if saved := phi3.Saved(o.Saved); !o.GradientCheckpointing || saved == phi3.SavedAll || saved == phi3.SavedAttention {
			keys = append(keys, "training.gradient_checkpointing: true with training.gradient_checkpointing_keep: auto")
		}
	} else {
		keys = append(keys, "a smaller evaluation.max_new_tokens")
	}
	return fmt.Errorf("%w: %.2f GB are needed, the device has %.2f GB free; the largest are %s; what helps: %s",
		native.ErrMemory, gigabytes(p.total), gigabytes(free), strings.Join(largest, ", "), strings.Join(keys, ", "))
}

func gigabytes(n int64) float64 { return float64(n) / 1e9 }

// cachePages is how many pages of keys and values the device has memory for: want if possible, but never below least.
func (m *Model) cachePages(want, least int) (int, error) {
	info, err := m.device.Info()
	if err != nil {
		return 0, err
	}
	const margin = 256 << 20 // for other processes
	free := int64(info.FreeBytes) - margin
	if isGPU(info) {
		free -= m.workspace() // if the library holds it already, the pool is somewhat smaller than it could be
	}
	return int(min(int64(want), max(int64(least), free/m.phi.CacheBytes()))), nil
}

// Plan is the memory that Open and, for training, NewTrainer will allocate under o, by purpose, the largest first: the least,
// where o leaves it to the device's free memory. It reads config.json alone. Unless o names the CPU it plans for a GPU, whose
// library takes workspace on top.
func Plan(o Options) ([]phi3.Need, error) {
	m, gpu := &Model{options: o}, o.Device.Kind != device.CPU
	if err := m.layOutOn(gpu); err != nil {
		return nil, err
	}
	layouts, err := m.layouts(gpu)
	if err != nil {
		return nil, err
	}
	m.take(layouts[len(layouts)-1])
	needs, err := m.needs()
	return planOf(needs).needs, err
}

// Decision is what Open takes on a GPU where o leaves it to the free memory.
type Decision struct {
	Saved    string      // see Model.Saved
	Expanded bool        // see Model.Expanded
	Needs    []phi3.Need // as Plan's, and the library's workspace
}

// Decide is the decision for a GPU with so many bytes free. It reads config.json alone.
func Decide(o Options, free int64) (d Decision, err error) {
	m := &Model{options: o}
	if err := m.layOutOn(true); err != nil {
		return d, err
	}
	p, err := m.decide(true, free)
	return Decision{Saved: m.Saved(), Expanded: m.Expanded(), Needs: p.needs}, err
}

func (m *Model) layOutOn(gpu bool) error {
	if err := m.layOut(); err != nil {
		return err
	}
	if gpu {
		m.phi.EmbedFromHost()
	}
	return nil
}
