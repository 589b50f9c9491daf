package phi3

import (
	"fmt"
	"slices"

	"so8t/native"
)

// Ignore marks a label without a target, as in transformers.
const Ignore = -100

// Sequence is one sample's part of a packed row.
type Sequence struct {
	IDs    []int32
	Labels []int32 // one for each of IDs, not shifted; Ignore where masked. nil: no targets
	Sample int32   // of the optimizer step: its dropout masks do not depend on where packing puts it
}

// batch holds a packed row's integers on the device, and their numbers on the host.
type batch struct {
	ids        native.Tensor // int32 [T]
	rope       native.Tensor // int32 [T] row of the rope table
	position   native.Tensor // int32 [T]
	sample     native.Tensor // int32 [T]
	slot       native.Tensor // int32 [T] of the cache
	cuSeqlens  native.Tensor // int32 [sequences+1]
	picked     native.Tensor // int32 [T] rows whose logits are wanted
	target     native.Tensor // int32 [T] their targets
	longest    int           // rows of the longest sequence
	rows       int
	sequences  int
	pickedRows int
	targets    int // of the first of the picked rows
}

func (b *batch) allocate(d *native.Device, t int) error {
	return allocate(d, "batch", func(a *arena) { b.cut(a, t) })
}

func (b *batch) cut(a *arena, t int) {
	for _, x := range []*native.Tensor{&b.ids, &b.rope, &b.position, &b.sample, &b.slot, &b.picked, &b.target} {
		*x = a.tensor(native.Int32, 1, t)
	}
	b.cuSeqlens = a.tensor(native.Int32, 1, t+1)
}

// row collects the integers of one pass on the host.
type row struct {
	ids, rope, position, sample, slot, cuSeqlens, picked, target []int32
}

// append adds a sequence from position 0, whose row of the rope table is base, with the targets of its labels.
func (r *row) append(base int, s Sequence, slot int32) {
	if len(r.cuSeqlens) == 0 {
		r.cuSeqlens = append(r.cuSeqlens, 0)
	}
	for i, id := range s.IDs {
		if i+1 < len(s.Labels) && s.Labels[i+1] >= 0 {
			r.picked = append(r.picked, int32(len(r.ids)))
			r.target = append(r.target, s.Labels[i+1])
		}
		r.ids = append(r.ids, id)
		r.rope = append(r.rope, int32(base+i))
		r.position = append(r.position, int32(i))
		r.sample = append(r.sample, s.Sample)
		r.slot = append(r.slot, slot)
	}
	r.cuSeqlens = append(r.cuSeqlens, int32(len(r.ids)))
}

// pick picks tokens of the piece that begins at row first, and notes their targets.
func (r *row) pick(p Piece, first int) {
	last := int32(len(r.ids) - 1)
	switch {
	case p.Pick == PickEvery:
		for i := int32(first); i <= last; i++ {
			r.picked = append(r.picked, i)
		}
	case p.Pick == PickLast && len(p.Targets) > 0:
		r.picked = append(r.picked, slices.Repeat([]int32{last}, len(p.Targets))...)
	case p.Pick == PickLast:
		r.picked = append(r.picked, last)
	}
	if len(p.Targets) > 0 { // rows before it may have none
		r.target = append(r.target, make([]int32, len(r.picked)-len(p.Targets)-len(r.target))...)
		r.target = append(r.target, p.Targets...)
	}
}

// upload checks a row and copies it to the device.
func (m *Model) upload(r *row) error {
	if len(r.ids) == 0 || len(r.ids) > m.options.MaxTokens {
		return fmt.Errorf("a pass of %d tokens; the model was prepared for 1 to %d", len(r.ids), m.options.MaxTokens)
	}
	for _, id := range r.ids {
		if id < 0 || int(id) >= m.Config.VocabSize {
			return fmt.Errorf("token %d is outside the model's vocabulary of %d", id, m.Config.VocabSize)
		}
	}
	for _, id := range r.target {
		if int(id) >= m.Config.VocabSize {
			return fmt.Errorf("label %d is outside the model's vocabulary of %d", id, m.Config.VocabSize)
		}
	}
	b := &m.batch
	b.rows, b.sequences, b.pickedRows, b.targets = len(r.ids), max(0, len(r.cuSeqlens)-1), len(r.picked), len(r.target)
	b.longest = 0
	for i := range b.sequences {
		b.longest = max(b.longest, int(r.cuSeqlens[i+1]-r.cuSeqlens[i]))
	}
	for _, x := range []struct {
		to   native.Tensor
		from []int32
	}{{b.ids, r.ids}, {b.rope, r.rope}, {b.position, r.position}, {b.sample, r.sample}, {b.slot, r.slot}, {b.cuSeqlens, r.cuSeqlens},
		{b.picked, r.picked}, {b.target, r.target}} {
		if len(x.from) == 0 {
			continue
		}
		if err := native.Upload(m.device, x.to, x.from); err != nil {
			return err
		}
	}
	return nil
}
