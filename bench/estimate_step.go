package main

// Makers of kernels.
const (
	byCuBLASLt = "cuBLASLt"
	byCuDNN    = "cuDNN"
	byOwn      = "so8t"
)

// load is a part of a step: what it moves or computes, how fast, and how that is known.
type load struct {
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

// code is what the estimate takes from the kernels' code, so that an earlier state can be estimated with its own figures.
type code struct {
	expandShare    float64 // of the card's bandwidth, while int8 becomes bfloat16
	maskedCopies   float64 // of LoRA's input a step, of those that dropout makes
	loraLaunches   float64 // products of LoRA in a layer, forward and backward
	loraLeast      float64 // seconds of one of them that fills few SMs
	dyReads        float64 // of LoRA's backward pass
	dxShare        float64 // of the bandwidth, of lora_dx
	copyLaunches   float64 // casts of A and B and their placing in a layer, where the base is not kept
	copyKept       float64 // where it is
	smallLaunches  float64 // others in a layer: norms, rope, swiglu, attention
	forward        tiles
	keys, queries  tiles
	headRate       float64
	elementShare   float64
	sourceOfMasks  string
	sourceOfProduct string
}

// loads are the parts of a step.
func (s step) loads() []load {
	var all []load
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
	gaps := load{Part: "gaps between launches", By: byOwn, Work: launches, Unit: "launches", Rate: 1 / s.gap, Seconds: launches * s.gap,
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

// widths are the sums over a layer's matrices: inputs, outputs, weights, and what [W | B] has beyond them.
func (s step) widths() (in, out, weights, besides float64) {
	for _, l := range s.linears() {
		in += float64(l.columns)
		out += float64(l.rows)
		weights += float64(l.rows) * float64(l.columns)
		besides += float64(l.rows) * s.rank * float64(l.slices)
	}
	return in, out, weights, besides
}

// products are those with the base: [x | z] [W | B] forward, dy W backward, and the head's.
func (s step) products() []load {
	_, _, weights, besides := s.widths()
	layers, n := float64(s.Layers), float64(len(s.linears()))
	rate := s.library * s.waves(s.row, 292)
	const measured = "630 TFLOP/s at 2,048 tokens, 695 at 8,192 on an H100, as others measured cuBLASLt"
	all := []load{
		{Part: "base products, forward", Operation: "linear_forward", By: byCuBLASLt, Work: s.passes() * layers * 2 * (weights + besides) * s.row, Unit: "FLOP",
			Rate: rate, Launches: s.passes() * layers * n, Source: measured},
		{Part: "base products, backward", Operation: "linear_backward", By: byCuBLASLt, Work: layers * 2 * weights * s.row, Unit: "FLOP", Rate: rate,
			Launches: layers * n, Source: measured},
	}
	if !s.kept {
		share := s.code.expandShare
		expand := func(operation string, times float64) load {
			const bytesAWeight = 3 // one read, two written
			return load{Part: "int8 to bfloat16", Operation: operation, By: byOwn, Work: times * layers * bytesAWeight * weights, Unit: "B", Rate: share * s.bandwidth,
				Launches: times * layers * n, Source: "bytes; a row's, not a token's"}
		}
		all = append(all, expand("linear_forward", s.passes()), expand("linear_backward", 1))
	}
	head := 2 * float64(s.Vocab) * float64(s.Hidden) * s.row
	chunks := max(1, s.row/523) // rows of logits that the engine holds at once
	for _, operation := range []string{"linear_forward", "linear_backward"} {
		all = append(all, load{Part: "head", Operation: operation, By: byCuBLASLt, Work: head, Unit: "FLOP", Rate: s.code.headRate * s.library, Launches: chunks,
			Source: "chunks of 523 rows: guess"})
	}
	return append(all, load{Part: "cross entropy", Operation: "cross_entropy_backward", By: byOwn, Work: 4 * float64(s.Vocab) * s.row, Unit: "B",
		Rate: s.code.elementShare * s.bandwidth, Launches: chunks, Source: "bytes"})
}
