package phi3

import "so8t/native"

// Need is memory that a model will allocate, under the purpose that the device reports it by.
type Need struct {
	Purpose string
	Bytes   int64
}

const expandedPurpose = "expanded weights"

// Plan lists what Load, Prepare and, without training, the cache of one sequence will allocate, given the adapters and
// gates that are attached but without their own memory. It allocates nothing.
func (m *Model) Plan(training bool, saves Saved) []Need {
	c, size := m.Config, int64(m.compute.Size())
	v, h, layers := int64(c.VocabSize), int64(c.HiddenSize), int64(len(m.Layers))
	var needs []Need
	if !m.embedOnHost {
		needs = append(needs, Need{"embedding", v * h * size})
	}
	if !c.TieWordEmbeddings {
		needs = append(needs, Need{"lm_head", v * h * size})
	}
	weights, scales := int64(0), int64(0)
	for i := range m.Layers {
		for _, l := range m.Layers[i].Linears() {
			if m.options.Int8 {
				weights += int64(l.Out) * int64(l.In)
				scales += int64(l.Out) * int64(native.Float32.Size())
			} else {
				weights += int64(l.Out) * int64(l.In) * size
			}
		}
	}
	needs = append(needs, Need{"base weights", weights}, Need{"base scales", scales}, Need{"norm", (1 + 2*layers) * h * size},
		Need{"rope table", ropeBytes(c, m.options.MaxLength)}, sized("batch", func(a *arena) { (&batch{}).cut(a, m.options.MaxTokens) }))
	if m.keepExpanded {
		needs = append(needs, sized(expandedPurpose, m.cutExpanded))
	}
	m.survey(training, saves)
	for _, part := range m.working(training) {
		needs = append(needs, sized(part.purpose, part.cut))
	}
	if !training {
		pages := Pages(m.options.MaxLength)
		needs = append(needs, sized(CachePurpose, func(a *arena) { m.cutCache(a, &Cache{slots: 1, pool: newPool(1, pages, pages)}) }))
	}
	return needs
}

func sized(purpose string, cut func(*arena)) Need {
	var a arena
	cut(&a)
	return Need{purpose, int64(a.bytes)}
}

// Workspace is what a GPU's library may allocate on top: streams, kernels, cuBLASLt's own memory, and one block from which each
// operation takes its copies. A block that is too small is replaced by one as large as it and the operation's copies together;
// those were larger than the block, so that it stays below twice the most that an operation copies.
func (m *Model) Workspace(training, dropout bool) int64 {
	const fixed = 512 << 20
	most := int64(0)
	for i := range m.Layers {
		for _, l := range m.Layers[i].Linears() {
			most = max(most, m.copies(l, training && dropout))
		}
	}
	if training {
		most = max(most, m.attentionCopies())
	}
	return fixed + 2*most
}

// copies bounds what an operation on a weight copies, in bytes: the weight beside its adapter; A and B in the compute type, or
// a gradient of theirs, on which algorithms are tried; and with dropout a matrix of the input's size: the input under the mask,
// sums of parts of z, or the input's gradient, to which the product adds, so that algorithms are tried on a copy.
func (m *Model) copies(l *Linear, dropout bool) int64 {
	size, in, out, r := int64(m.compute.Size()), int64(l.In), int64(l.Out), int64(l.columns())
	row := in + r + 8 // of a weight or an input with its adapter's part, rounded up
	bytes := r * (in + out) * int64(native.Float32.Size())
	if !m.keepExpanded {
		bytes += (out + r) * row * size
	}
	if dropout && r > 0 {
		bytes += int64(m.options.MaxTokens) * row * size
	}
	return bytes
}

// WithCuDNN plans for a GPU on which cuDNN may do attention. Without it that is left to the library's own kernels.
func (m *Model) WithCuDNN() { m.withCuDNN = true }

// attentionCopies bounds what cuDNN's attention takes in bytes: where sequences begin in each matrix, of up to four times as many as
// there are; log-sum-exps as it wants them, and sums beside them; dq in float32, with the rows of dqkv; a copy of the results, which a
// plan is proved by; and the plan's own workspace. The library's own kernels take far less.
func (m *Model) attentionCopies() int64 {
	const workspace = 320 << 20 // kMostWorkspace in native/cuda/cudnn_planned.cu
	c := m.Config
	heads, d := int64(c.NumAttentionHeads), int64(c.HeadDim())
	if !m.withCuDNN || m.compute != native.BFloat16 || d%16 != 0 || d > 128 {
		return 0
	}
	width := (heads + 2*int64(c.NumKeyValueHeads)) * d
	row := 4*10*4 + 2*4*heads + 4*width + 2*width
	return int64(m.options.MaxTokens)*row + workspace
}
