package main

// decoding is a step of generation: one token for each sequence.
type decoding struct {
	shape
	card
	batch, context float64 // sequences, and tokens that each has in the cache
	code           decodeCode
}

// decodeCode is what the estimate takes from the code of decoding.
type decodeCode struct {
	fewRows      float64 // up to so many the weights are multiplied on CUDA cores
	fewShare     float64 // of the speed of reading that this reaches
	fewSmall     float64 // other kernels of a layer then
	mmaShare     float64 // that products on tensor cores tend to as rows get few; 0: there are none, and the weights become bfloat16 for cuBLASLt
	mmaHalf      float64 // with so many rows they reach half of that
	small        float64 // other kernels of a layer
	smallSeconds float64 // of one
	host         float64 // seconds a step that the GPU waits for the host
}

// costs are the parts of one step.
func (d decoding) costs() []cost {
	_, _, weights, _ := step{shape: d.shape}.widths()
	layers, n := float64(d.Layers), float64(len(d.linears()))
	cache := d.batch * d.context * 2 * 2 * float64(d.KV*d.headDim()) * layers
	attention := moves("attention over the cache", "attention_cached", cache, 0.7*d.reading, layers)
	attention.Least, attention.Source = 2*d.code.smallSeconds, "bytes; guess: 70 % of the speed of reading"
	head := moves("head", "linear_forward", 2*float64(d.Vocab)*float64(d.Hidden), 0.9*d.reading, 1)
	head.Source = "bytes; guess: 90 % of the speed of reading"
	small := layers * (d.code.small - 1)
	if d.batch <= d.code.fewRows {
		small = layers * (d.code.fewSmall - 1)
	}
	all := []cost{
		d.products(layers*weights, layers*n), attention, head,
		{Part: "other kernels", By: byOwn, Work: small, Unit: "launches", Rate: 1 / d.code.smallSeconds, Launches: small, Source: "guess: latency alone"},
		{Part: "host", By: byOwn, Work: 1, Unit: "steps", Rate: 1 / d.code.host, Source: "guess: the tokens go to the host, the next step comes back"},
	}
	settle(all)
	return all
}

// products are those with the int8 weights.
func (d decoding) products(weights, launches float64) cost {
	c := moves("products with int8 weights", "linear_forward", weights, 0, launches)
	c.Source = "bytes; the share of the speed of reading is assumed"
	switch {
	case d.batch <= d.code.fewRows:
		c.Rate = d.code.fewShare * d.reading
	case d.code.mmaShare > 0:
		c.Rate = d.code.mmaShare * d.reading / (1 + d.batch/d.code.mmaHalf)
	default:
		const bytesAWeight = 5 // read, written as two, read again
		c.Part, c.By, c.Rate = "int8 to bfloat16, and its product", byCuBLASLt, 0.67*d.reading/bytesAWeight
	}
	return c
}

// weightBytes are what a step reads of the weights, as the command decode counts them.
func (d decoding) weightBytes() float64 {
	_, out, weights, _ := step{shape: d.shape}.widths()
	return float64(d.Layers)*(weights+4*out) + 2*float64(d.Vocab)*float64(d.Hidden)
}
