package main

// lora are the parts of a step that LoRA adds besides its columns in the base's products: z = x A, dz = dy B and the gradients of A and B.
func (s step) lora() []cost {
	in, out, _, _ := s.widths()
	layers, n := float64(s.Layers), float64(len(s.linears()))
	bytes := 2 * layers * s.row // of one number of each token in bfloat16
	product := func(operation string, work, launches float64) cost {
		return cost{Part: "LoRA products", Operation: operation, By: byCuBLASLt, Work: work, Unit: "B", Rate: s.bandwidth, Launches: launches, Least: s.code.loraLeast,
			Source: "bytes; guess: one takes 9 µs where it fills few SMs"}
	}
	quarter := layers * s.code.loraProducts / 4
	all := []cost{
		product("lora_down_forward", s.passes()*bytes*in, s.passes()*quarter),
		product("lora_up_backward", s.code.dyReads*bytes*out, 2*quarter),
		product("lora_down_backward", bytes*in, quarter),
		{Part: "lora_dx", Operation: "linear_backward", By: byOwn, Work: bytes * in, Unit: "B", Rate: s.code.dxShare * s.bandwidth, Launches: layers * n,
			Source: "bytes; the share of the bandwidth is assumed"},
	}
	if copies := s.code.maskedCopies; copies > 0 {
		for _, operation := range []string{"lora_down_forward", "lora_down_backward"} {
			times := copies / 2
			if operation == "lora_down_forward" {
				times *= s.passes()
			}
			all = append(all, cost{Part: "dropout's copies", Operation: operation, By: byOwn, Work: times * 2 * bytes * in, Unit: "B", Rate: s.bandwidth,
				Launches: times * layers * n, Source: "bytes"})
		}
	}
	if copies := layers * s.code.copies; copies > 0 && !s.kept {
		all = append(all, cost{Part: "A and B placed and cast", Operation: "linear_forward", By: byOwn, Work: copies, Unit: "launches", Rate: 1 / 5e-6, Launches: copies,
			Source: "guess: 5 µs each"})
	}
	return all
}

// elementwise are the kernels that go over a layer's activations once. Numbers a token: norms read and write, and add to dx backward;
// rope turns q and k; swiglu makes one of gate and up.
func (s step) elementwise() []cost {
	hidden, inter := float64(s.Hidden), float64(s.Inter)
	turned := hidden + float64(s.KV*s.headDim())
	layers := float64(s.Layers)
	kernel := func(operation string, numbers, passes, kernels float64) cost {
		return cost{Part: operation, Operation: operation, By: byOwn, Work: passes * layers * 2 * numbers * s.row, Unit: "B", Rate: s.code.elementShare * s.bandwidth,
			Launches: passes * layers * kernels, Source: "bytes; each number is read and written once"}
	}
	each := s.code.smallKernels / 8
	return []cost{
		kernel("rmsnorm_forward", 4*hidden, s.passes(), 2*each),
		kernel("rmsnorm_backward", 8*hidden, 1, 2*each),
		kernel("rope_forward", 2*turned, s.passes(), each),
		kernel("rope_backward", 2*turned, 1, each),
		kernel("swiglu_forward", 3*inter, s.passes(), each),
		kernel("swiglu_backward", 5*inter, 1, each),
	}
}

// once are a step's parts that do not grow with its tokens: AdamW in float32, the gradients' norm, their zeros.
func (s step) once() []cost {
	in, out, _, _ := s.widths()
	slices := 0.0
	for _, l := range s.linears() {
		slices += float64(l.columns * (l.slices - 1)) // each has an A of its own
	}
	trained := float64(s.Layers) * s.rank * (in + slices + out)
	part := func(operation string, bytes float64) cost {
		return cost{Part: operation, Operation: operation, By: byOwn, Work: bytes * trained, Unit: "B", Rate: s.bandwidth, Launches: 1, Source: "bytes; of a step"}
	}
	return []cost{part("adamw", 28), part("global_norm", 4), part("zero", 4)}
}
