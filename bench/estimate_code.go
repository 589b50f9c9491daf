package main

// present is the training step's code as it is. Attention's instructions are TestHotLoops'; what LoRA's own products reach is the larger of memory's
// and the second-level cache's time for their tiles.
var present = code{expandShare: 0.95, elementShare: 0.96, downShare: 0.65, downLaunches: 4, upLaunches: 8, loraLeast: 9e-6,
	dxShare: 0.85, copies: 8,
	smallKernels: 8, headShare: 0.64,
	forward: tiles{products: 2, all: 749, mma: 192, shared: 60, mufu: 68, half: 828},
	keys:    tiles{products: 4, all: 404, mma: 96, shared: 55, mufu: 16, half: 639},
	queries: tiles{products: 3, all: 486, mma: 144, shared: 54, mufu: 32, half: 639}}

// presentDecode is decoding's: a layer's products take 47 µs where memory's speed allows 38, on tensor cores 52 for 16 rows and 64 for 64.
var presentDecode = decodeCode{fewRows: 8, fewShare: 0.81, fewSmall: 7, mmaShare: 0.797, mmaHalf: 192, small: 11, smallSeconds: 2.2e-6, host: 50e-6}

// overlapped is decoding where a kernel is launched as the one before it ends: a gap less for each, and 3 of a layer's 47 µs of products.
func overlapped(c decodeCode) decodeCode {
	const gap = 0.9e-6
	c.fewShare, c.smallSeconds = c.fewShare*47.3/44, c.smallSeconds-gap
	return c
}
