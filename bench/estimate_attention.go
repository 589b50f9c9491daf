package main

// tiles is an attention kernel by what a warp issues in one turn of its inner loop, where the tile is whole: native's TestHotLoops counts it.
type tiles struct {
	products float64 // of those that attention has, queries by keys or values: two forward, five backward at the least
	all      float64 // instructions
	mma      float64 // of them m16n8k16
	shared   float64 // ldmatrix, and copies to shared memory
	mufu     float64 // ex2
	half     float64 // a sample of so many tokens reaches half of a long one's rate: the diagonal's tiles are half empty
}

const (
	quarters   = 4 // of an SM, with a tensor core each
	flopsOfMMA = 2 * 16 * 8 * 16
)

// cycles of a quarter that a turn takes if nothing overlaps, and at the least: 512 bytes of shared memory at 128 a cycle for four quarters,
// four ex2 and one instruction a cycle.
func (t tiles) cycles(c card) (serial, least float64) {
	tensor, shared, mufu := t.mma*c.mma, t.shared*16, t.mufu*8
	return tensor + shared + mufu + t.all - t.mma - t.shared - t.mufu, max(tensor, shared, mufu, t.all)
}

// rate is in FLOP/s. With two warps a quarter nearly nothing overlaps at 2,048 tokens; with more tokens, 8 % more of the card is full at 8,192.
func (t tiles) rate(s step) float64 {
	const tokens, half = 2048, 224
	serial, _ := t.cycles(s.card)
	rate := t.mma * flopsOfMMA / serial * quarters * s.sms * s.clock
	return rate * s.waves(s.row, half) / s.waves(tokens, half) * s.sample / (s.sample + t.half) * (tokens + t.half) / tokens
}

// attention is that of a step: this project's kernels, or cuDNN's.
func (s step) attention() []cost {
	_, _, flops, _ := s.shape.forward(int(s.sample), int(s.rank)) // of two products, a token
	layers := float64(s.Layers)
	const counted = "instructions of sm_90a; guess: a warp's do not overlap"
	part := func(name, operation string, t tiles, passes, launches float64) cost {
		return computes(name, operation, byOwn, passes*t.products/2*flops*s.row, t.rate(s), passes*layers*launches, counted)
	}
	if !s.cudnn {
		return []cost{
			part("attention forward", "attention_forward", s.code.forward, s.passes(), 2),
			part("attention backward, keys", "attention_backward", s.code.keys, 1, 1),
			part("attention backward, queries", "attention_backward", s.code.queries, 1, 1),
			// The sums of out and dout that the backward pass needs.
			moves("attention statistics", "attention_backward", layers*2*2*float64(s.Hidden)*s.row, s.code.elementShare*s.bandwidth, 2*layers),
		}
	}
	// share and half give 350 and 420 TFLOP/s forward at 2,048 and 8,192 tokens on an H100, 190 and 240 backward.
	library := func(name, operation, source string, products, share, half, passes, launches float64) cost {
		rate := share * s.library * s.sample / (s.sample + half)
		return computes(name, operation, byCuDNN, passes*products/2*flops*s.row, rate, passes*layers*launches, source)
	}
	// dq is summed in float32: zeroed, added to, read, and written in bfloat16.
	dq := moves("attention's dq", "attention_backward", layers*(3*4+2)*float64(s.Hidden)*s.row, s.bandwidth, 0)
	dq.By, dq.Source = byCuDNN, "bytes; guess: what is added stays in the cache"
	return []cost{
		library("attention forward", "attention_forward", "guess: 0.72 of FlashAttention-3's figure of cuDNN at a head of 128", 2, 0.625, 585, s.passes(), 4),
		library("attention backward", "attention_backward", "guess: 450 TFLOP/s, padding and adding in order take a quarter each", 5, 0.365, 787, 1, 6),
		dq,
	}
}
