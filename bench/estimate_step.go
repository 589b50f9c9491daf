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

// moves is a kernel of this project that memory limits, computes one of anybody's that arithmetic does.
func moves(part, operation string, bytes, rate, launches float64) cost {
	return cost{Part: part, Operation: operation, By: byOwn, Work: bytes, Unit: "B", Rate: rate, Launches: launches, Source: "bytes"}
}

func computes(part, operation, by string, flops, rate, launches float64, source string) cost {
	return cost{Part: part, Operation: operation, By: by, Work: flops, Unit: "FLOP", Rate: rate, Launches: launches, Source: source}
}

// settle gives each cost its seconds.
func settle(all []cost) {
	for i := range all {
		c := &all[i]
		c.Seconds = max(c.Work/c.Rate, c.Launches*c.Least)
	}
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
	maskedCopies float64 // of LoRA's input that dropout makes in a step; 0: the products draw the mask, and are this project's
	downShare    float64 // of LoRA's products with the input: z and A's gradient
	downLaunches float64 // of each of the two in a layer
	upLaunches   float64 // of the products with dy, dz and B's gradient, together
	loraLeast    float64 // seconds of a product that fills few SMs
	dxShare      float64 // of lora_dx
	copies       float64 // of A and B in a layer where the base is not kept: casts, and placing beside W
	smallKernels float64 // of a layer, forward and backward, beside these: norms, rope, swiglu
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
	settle(all)
	launches := 0.0
	for _, c := range all {
		launches += c.Launches
	}
	return append(all, cost{Part: "gaps between launches", By: byOwn, Work: launches, Unit: "launches", Rate: 1 / s.gap, Seconds: launches * s.gap,
		Source: "guess: the CPU needs less than the GPU, so that launches wait in the stream"})
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
	forward, backward := 2*(weights+besides+weightsAgain+besidesAgain), 2*weights // FLOP a token and layer
	all := []cost{
		computes("base products, forward", "linear_forward", byCuBLASLt, layers*forward*s.row, rate, layers*(n+again), measured),
		computes("base products, backward", "linear_backward", byCuBLASLt, layers*backward*s.row, rate, layers*n, measured),
	}
	if !s.kept {
		const bytesAWeight = 3 // one read, two written
		rate := s.code.expandShare * s.bandwidth
		all = append(all,
			moves("int8 to bfloat16, of a row", "linear_forward", layers*bytesAWeight*(weights+weightsAgain), rate, layers*(n+again)),
			moves("int8 to bfloat16, of a row", "linear_backward", layers*bytesAWeight*weights, rate, layers*n))
	}
	head, chunks := 2*float64(s.Vocab)*float64(s.Hidden)*s.row, max(1, s.row/523) // 523 rows of logits are held at once
	for _, operation := range []string{"linear_forward", "linear_backward"} {
		all = append(all, computes("head", operation, byCuBLASLt, head, s.code.headShare*s.library, chunks, "guess: chunks of 523 rows fill the card less"))
	}
	return append(all, moves("cross entropy", "cross_entropy_backward", 4*float64(s.Vocab)*s.row, s.code.elementShare*s.bandwidth, chunks))
}
