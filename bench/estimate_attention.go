package main

// tiles is an attention kernel by what one turn of its inner loop takes of a quarter of an SM, in cycles, from its machine code.
type tiles struct {
	products float64 // of those that attention has, queries by keys or values: two forward, five backward at the least
	mma      float64 // instructions of m16n8k16
	shared   float64 // ldmatrix and copies to shared memory
	issue    float64 // instructions of any kind
	mufu     float64 // ex2
	share    float64 // of the bound by the busiest of them that is reached over long samples: assumed
	samples  float64 // a sample of so many tokens reaches half of that: the diagonal's tiles are half empty
	fill     float64 // as card.waves
}

const flopsOfMMA = 2 * 16 * 8 * 16

// bound is the FLOP/s that the busiest resource allows.
func (t tiles) bound(c card) float64 {
	const quarters = 4
	cycles := max(t.mma*c.mma, t.shared, t.issue, t.mufu)
	return t.mma * flopsOfMMA / cycles * c.sms * quarters * c.clock
}

func (t tiles) rate(s step) float64 {
	return t.bound(s.card) * t.share * s.sample / (s.sample + t.samples) * s.waves(s.row, t.fill)
}

// attention is that of a step: this project's kernels, or cuDNN's.
func (s step) attention() []cost {
	_, _, flops, _ := s.shape.forward(int(s.sample), int(s.rank)) // of two products, a token
	layers := float64(s.Layers)
	const counted = "machine code's cycles of sm_90a a turn; the share of that bound is assumed"
	part := func(name, operation string, t tiles, passes float64) cost {
		return computes(name, operation, byOwn, passes*t.products/2*flops*s.row, t.rate(s), passes*layers, counted)
	}
	if !s.cudnn {
		return []cost{
			part("attention forward", "attention_forward", s.code.forward, s.passes()),
			part("attention backward, keys", "attention_backward", s.code.keys, 1),
			part("attention backward, queries", "attention_backward", s.code.queries, 1),
			// The sums of out and dout that the backward pass needs.
			moves("attention statistics", "attention_backward", layers*2*2*float64(s.Hidden)*s.row, s.code.elementShare*s.bandwidth, layers),
		}
	}
	library := func(name, operation string, products, share, passes float64) cost {
		rate := share * s.library * s.sample / (s.sample + 600) * s.waves(s.row, 300)
		return computes(name, operation, byCuDNN, passes*products/2*flops*s.row, rate, passes*layers, "guess from others' figures of cuDNN at a head of 128")
	}
	return []cost{
		library("attention forward", "attention_forward", 2, 0.70, s.passes()),
		library("attention backward", "attention_backward", 5, 0.55, 1),
	}
}
