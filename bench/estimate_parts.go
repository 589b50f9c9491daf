package main

// lora are the parts of a step that LoRA adds besides its columns in the base's products: z = x A, dz = dy B, and the gradients of A and B.
func (s step) lora() []cost {
	in, out, _, _ := s.widths()
	layers, n := float64(s.Layers), float64(len(s.linears()))
	number := 2 * layers * s.row // bytes of one number of each token, in all layers
	by := byCuBLASLt
	if s.code.maskedCopies == 0 {
		by = byOwn
	}
	product := func(operation, by string, bytes, share, launches float64) cost {
		c := moves("LoRA products", operation, bytes, share*s.bandwidth, layers*launches)
		c.By, c.Least, c.Source = by, s.code.loraLeast, "bytes; guess: what a product takes that fills few SMs"
		return c
	}
	const reads = 2 // of dy: for dz, and for B's gradient
	all := []cost{
		product("lora_down_forward", by, s.passes()*number*in, s.code.downShare, s.passes()*s.code.downLaunches),
		product("lora_up_backward", byCuBLASLt, reads*number*out, 1, s.code.upLaunches),
		product("lora_down_backward", by, number*in, s.code.downShare, s.code.downLaunches),
		moves("lora_dx", "linear_backward", number*in, s.code.dxShare*s.bandwidth, layers*n),
	}
	if times := s.code.maskedCopies / 2; times > 0 {
		all = append(all,
			moves("dropout's copies", "lora_down_forward", s.passes()*times*2*number*in, s.bandwidth, s.passes()*times*layers*n),
			moves("dropout's copies", "lora_down_backward", times*2*number*in, s.bandwidth, times*layers*n))
	}
	if copies := layers * s.code.copies; copies > 0 && !s.kept {
		all = append(all, cost{Part: "A and B placed and cast", Operation: "linear_forward", By: byOwn, Work: copies, Unit: "launches", Rate: 1 / 5e-6,
			Launches: copies, Source: "guess: 5 µs each"})
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
		return moves(operation, operation, passes*layers*2*numbers*s.row, s.code.elementShare*s.bandwidth, passes*layers*kernels)
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
	for _, l := range s.linears() {
		in += float64(l.columns * (l.slices - 1)) // each slice has an A of its own
	}
	trained := float64(s.Layers) * s.rank * (in + out)
	const gradient, parameterAndStates = 4, 24 // bytes read and written
	return []cost{
		moves("adamw", "adamw", trained*(gradient+parameterAndStates), s.bandwidth, 1),
		moves("global_norm", "global_norm", trained*gradient, s.bandwidth, 1),
		moves("zero", "zero", trained*gradient, s.bandwidth, 1),
	}
}
