package main

// present is the training step's code as it is.
var present = code{expandShare: 0.95, elementShare: 0.96, maskedCopies: 2, loraProducts: 22, loraLeast: 9e-6, dyReads: 2, dxShare: 0.85, copies: 4,
	smallKernels: 32, headShare: 0.64,
	forward: tiles{products: 2, mma: 192, shared: 1152, issue: 1019, mufu: 544, share: 0.545, samples: 828, fill: 350},
	keys:    tiles{products: 4, mma: 96, shared: 1056, issue: 715, mufu: 128, share: 0.608, samples: 639, fill: 265},
	queries: tiles{products: 3, mma: 144, shared: 1056, issue: 875, mufu: 256, share: 0.608, samples: 639, fill: 265}}

// presentDecode is decoding's.
var presentDecode = decodeCode{fewRows: 8, fewShare: 0.72, small: 7, smallSeconds: 3.1e-6, host: 50e-6}
