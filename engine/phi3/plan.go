package phi3

import "so8t/native"

// Need is memory that a model will allocate, under the purpose that the device reports it by.
type Need struct {
	Purpose string
	Bytes   int64
}

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

// Workspace is what a GPU's library may allocate on top: the largest weight with its adapter expanded to bfloat16, twice
// (for a product and for the next one, queued already), other copies of operands, and its streams.
func (m *Model) Workspace() int64 {
	most := int64(0)
	for i := range m.Layers {
		for _, l := range m.Layers[i].Linears() {
			columns := l.In
			if l.LoRA != nil {
				columns += l.LoRA.Columns()
			}
			most = max(most, int64(l.Out)*int64(columns))
		}
	}
	return 512<<20 + 2*most*int64(native.BFloat16.Size())
}
