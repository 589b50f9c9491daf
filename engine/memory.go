package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"so8t/engine/phi3"
	"so8t/native"
)

// room is a flat buffer that is planned, and then allocated, for a tensor.
type room struct {
	to      *native.Tensor
	dtype   native.DType
	n       int
	purpose string
}

func (r room) bytes() int64 { return int64(r.n) * int64(r.dtype.Size()) }

// allocate gives each tensor its buffer, but for empty ones.
func allocate(d *native.Device, rooms []room) error {
	for _, r := range rooms {
		if r.n == 0 {
			continue
		}
		b, err := d.Alloc(r.bytes(), r.purpose)
		if err != nil {
			return err
		}
		*r.to = b.Tensor(r.dtype, 0, r.n)
	}
	return nil
}

// plan is the memory that a model and its trainer take, by purpose, the largest first.
type plan struct {
	needs []phi3.Need
	total int64
}

// planOf sums needs up by purpose.
func planOf(needs []phi3.Need) (p plan) {
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

// needs are what Open and, for training, NewTrainer allocate, from the model's shape alone.
func (m *Model) needs(keep phi3.Keep) ([]phi3.Need, error) {
	rooms := m.params.rooms(m.phi.Compute())
	if m.options.Training && m.options.Optim != "" {
		states, err := (&optimizer{options: TrainerOptions{Optim: m.options.Optim}, ps: m.params}).layOut()
		if err != nil {
			return nil, err
		}
		rooms = append(rooms, states...)
	}
	needs := m.phi.Plan(m.options.Training, keep)
	for _, r := range rooms {
		needs = append(needs, phi3.Need{Purpose: r.purpose, Bytes: r.bytes()})
	}
	return needs, nil
}

// snapshotBytes is what a checkpoint copies aside on the device while training goes on.
func (p plan) snapshotBytes() (n int64) {
	for _, need := range p.needs {
		if need.Purpose == "trained parameters" || need.Purpose == "optimizer" {
			n += need.Bytes
		}
	}
	return n
}

// decide chooses what is kept for the backward pass and refuses at once what cannot fit, before minutes of loading
// have gone by. A GPU keeps as much as fits, with room for a checkpoint's copy; a CPU computes again, as its memory
// is worth more to the page cache.
func (m *Model) decide(info native.Info) (phi3.Keep, error) {
	choices, err := m.options.choices(info)
	if err != nil {
		return "", err
	}
	free := int64(info.FreeBytes)
	var p plan
	for i, keep := range choices {
		needs, err := m.needs(keep)
		if err != nil {
			return "", err
		}
		if isGPU(info) {
			needs = append(needs, phi3.Need{Purpose: "workspace of the GPU's library", Bytes: m.phi.Workspace()})
		}
		p = planOf(needs)
		room := free
		if i < len(choices)-1 {
			room -= p.snapshotBytes()
		}
		if p.total <= room {
			return keep, nil
		}
	}
	return "", m.options.tooLarge(p, free)
}

// choices are the ways to keep activations that may be taken, the most memory first.
func (o Options) choices(info native.Info) ([]phi3.Keep, error) {
	if !o.GradientCheckpointing {
		return []phi3.Keep{phi3.KeepAll}, nil
	}
	switch keep := phi3.Keep(o.Keep); keep {
	case "", KeepAuto:
		if isGPU(info) {
			return []phi3.Keep{phi3.KeepAll, phi3.KeepAttention, phi3.KeepInputs}, nil
		}
		return []phi3.Keep{phi3.KeepInputs}, nil
	case phi3.KeepAll, phi3.KeepAttention, phi3.KeepInputs:
		return []phi3.Keep{keep}, nil
	}
	return nil, fmt.Errorf("gradient_checkpointing_keep: %q is not auto, all, attention or inputs", o.Keep)
}

// spareMemory holds on a GPU what its memory is too dear for elsewhere: the embedding on the host, and LoRA in training
// once, as the float32 that is trained, rounded on its way into each product.
func (m *Model) spareMemory() {
	m.phi.EmbedFromHost()
	m.params.copied = m.params.copied && !m.options.Training
}

// KeepAuto lets Open choose what is kept for the backward pass.
const KeepAuto = "auto"

func isGPU(info native.Info) bool { return strings.HasPrefix(info.ISA, "sm_") }

// tooLarge names the largest purposes and the keys of the configuration that decide them.
func (o Options) tooLarge(p plan, free int64) error {
	const shown = 5
	var largest []string
	for _, n := range p.needs[:min(shown, len(p.needs))] {
		largest = append(largest, fmt.Sprintf("%s %.2f GB", n.Purpose, gigabytes(n.Bytes)))
	}
	keys := []string{"a smaller data.max_seq_length"}
	if o.Training {
		keys = append(keys, "a smaller training.per_device_train_batch_size", "a smaller training.lora_r")
		if !Optims[o.Optim] {
			keys = append(keys, "an 8-bit training.optim")
		}
		if keep := phi3.Keep(o.Keep); !o.GradientCheckpointing || keep == phi3.KeepAll || keep == phi3.KeepAttention {
			keys = append(keys, "training.gradient_checkpointing: true with training.gradient_checkpointing_keep: auto")
		}
	} else {
		keys = append(keys, "a smaller evaluation.max_new_tokens")
	}
	return fmt.Errorf("%w: %.2f GB are needed, the device has %.2f GB free; the largest are %s; what helps: %s",
		native.ErrMemory, gigabytes(p.total), gigabytes(free), strings.Join(largest, ", "), strings.Join(keys, ", "))
}

func gigabytes(n int64) float64 { return float64(n) / 1e9 }

// cachePages is how many pages of keys and values the device has room for: want of them if it can be, least at any rate.
func (m *Model) cachePages(want, least int) (int, error) {
	info, err := m.device.Info()
	if err != nil {
		return 0, err
	}
	const margin = 256 << 20 // for whoever else lives on the machine
	free := int64(info.FreeBytes) - margin
	if isGPU(info) {
		free -= m.phi.Workspace() // the library may hold it already; then the pool is somewhat smaller than it could be
	}
	return int(min(int64(want), max(int64(least), free/m.phi.CacheBytes()))), nil
}

// Plan is the memory that Open and, for training, NewTrainer will allocate under o, by purpose, the largest first: from
// config.json alone, on the CPU if o says so and else on a GPU, whose library takes workspace beside it.
func Plan(o Options) ([]phi3.Need, error) {
	m := &Model{options: o}
	if err := m.layOut(); err != nil {
		return nil, err
	}
	if o.Device != "cpu" {
		m.spareMemory()
	}
	choices, err := o.choices(native.Info{})
	if err != nil {
		return nil, err
	}
	needs, err := m.needs(choices[0])
	return planOf(needs).needs, err
}
