package main

// Makers of kernels.
const (
	byCuBLASLt = "cuBLASLt"
	byCuDNN    = "cuDNN"
	byOwn      = "so8t"
)

// cost is a part of a step: what it moves or computes, how fast, and how that is known.
type cost struct {
	Part      string  `json:"part"`
	Operation string  `json:"operation"` // of the library, as SO8T_CUDA_PROFILE names it; empty: between operations
	By        string  `json:"by"`
	Work      float64 `json:"work"` // bytes or FLOP
	Unit      string  `json:"unit"`
	Rate      float64 `json:"rate"` // of the unit a second
	Launches  float64 `json:"launches"`
	Least     float64 `json:"least_seconds"` // that one launch takes, however little it does
	Seconds   float64 `json:"seconds"`
	Source    string  `json:"source"`
}

// step is the work that is estimated.
type step struct {
	shape
	card
	row, sample, rank float64 // tokens of a row, of a sample in it; of each adapter
	recompute         bool    // all but the layers' inputs
	kept              bool    // model.keep_expanded: the base lies in memory in bfloat16 too
	cudnn             bool    // its attention
	code              code
}

// code is what the estimate takes from the kernels' code, so that an earlier state can be estimated by its own figures.
type code struct {
	expandShare  float64 // of the card's bandwidth, as int8 becomes bfloat16
	elementShare float64 // of kernels that go once over activations
	maskedCopies float64 // of LoRA's input that dropout makes in a step
	loraProducts float64 // of LoRA in a layer, forward and backward
	loraLeast    float64 // seconds of one that fills few SMs
	dyReads      float64 // of LoRA's backward pass
	dxShare      float64 // of lora_dx
	copies       float64 // of A and B in a layer: casts, and placing beside W; none where the base is kept
	smallKernels float64 // of a layer, forward and backward: norms, rope, swiglu
	headShare    float64 // of cuBLASLt's rate
	forward      tiles
	keys         tiles
	queries      tiles
}

// costs are the parts of a step.
func (s step) costs() []cost {
	var all []cost
	all = append(all, s.products()...)
	all = append(all, s.lora()...)
	all = append(all, s.attention()...)
	all = append(all, s.elementwise()...)
	all = append(all, s.once()...)
	launches := 0.0
	for i := range all {
		l := &all[i]
		l.Seconds = max(l.Work/l.Rate, l.Launches*l.Least)
		launches += l.Launches
	}
	gaps := cost{Part: "gaps between launches", By: byOwn, Work: launches, Unit: "launches", Rate: 1 / s.gap, Seconds: launches * s.gap,
		Source: "guess: the CPU needs less than the GPU, so that launches wait in the stream"}
	return append(all, gaps)
}

// passes is how often the layers' forward part is computed.
func (s step) passes() float64 {
	if s.recompute {
		return 2
	}
	return 1
}

// widths are the sums over a layer's matrices: inputs, outputs, weights, and the products of rank and outputs that [W | B] adds.
func (s step) widths() (in, out, weights, besides float64) {
	for _, l := range s.linears() {
		in += float64(l.columns)
		out += float64(l.rows)
		weights += float64(l.rows) * float64(l.columns)
		besides += float64(l.rows) * s.rank * float64(l.slices)
	}
	return in, out, weights, besides
}

// again are the weights whose forward product is computed a second time: not down_proj's, whose output nothing backward reads.
func (s step) again() (weights, besides, products float64) {
	if !s.recompute {
		return 0, 0, 0
	}
	_, _, weights, besides = s.widths()
	last := s.linears()[len(s.linears())-1]
	return weights - float64(last.rows)*float64(last.columns), besides - float64(last.rows)*s.rank*float64(last.slices), float64(len(s.linears()) - 1)
}

// products are those with the base, [x | z] [W | B] forward and dy W backward, and the head's.
func (s step) products() []cost {
	_, _, weights, besides := s.widths()
	weightsAgain, besidesAgain, again := s.again()
	layers, n := float64(s.Layers), float64(len(s.linears()))
	rate := s.library * s.waves(s.row, 292)
	const measured = "others' figures of cuBLASLt on an H100: 630 TFLOP/s at 2,048 tokens, 695 at 8,192"
	all := []cost{
		{Part: "base products, forward", Operation: "linear_forward", By: byCuBLASLt, Work: layers * 2 * (weights + besides + weightsAgain + besidesAgain) * s.row,
			Unit: "FLOP", Rate: rate, Launches: layers * (n + again), Source: measured},
		{Part: "base products, backward", Operation: "linear_backward", By: byCuBLASLt, Work: layers * 2 * weights * s.row, Unit: "FLOP", Rate: rate,
			Launches: layers * n, Source: measured},
	}
	if !s.kept {
		expand := func(operation string, weights, launches float64) cost {
			const bytesAWeight = 3 // one read, two written
			return cost{Part: "int8 to bfloat16", Operation: operation, By: byOwn, Work: layers * bytesAWeight * weights, Unit: "B",
				Rate: s.code.expandShare * s.bandwidth, Launches: layers * launches, Source: "bytes; of a row, however long"}
		}
		all = append(all, expand("linear_forward", weights+weightsAgain, n+again), expand("linear_backward", weights, n))
	}
	head := 2 * float64(s.Vocab) * float64(s.Hidden) * s.row
	chunks := max(1, s.row/523) // rows of logits that the engine holds at once
	for _, operation := range []string{"linear_forward", "linear_backward"} {
		all = append(all, cost{Part: "head", Operation: operation, By: byCuBLASLt, Work: head, Unit: "FLOP", Rate: s.code.headShare * s.library, Launches: chunks,
			Source: "chunks of 523 rows: guess"})
	}
	return append(all, cost{Part: "cross entropy", Operation: "cross_entropy_backward", By: byOwn, Work: 4 * float64(s.Vocab) * s.row, Unit: "B",
		Rate: s.code.elementShare * s.bandwidth, Launches: chunks, Source: "bytes"})
}
