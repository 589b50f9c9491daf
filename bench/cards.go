package main

import (
	"maps"
	"slices"
)

// card is what the estimate takes from a GPU. Peaks are its data sheet's; what part of them is reached is assumed until one is measured.
type card struct {
	bandwidth float64 // bytes/s that kernels which read and write reach
	reading   float64 // bytes/s that kernels which only read reach
	library   float64 // FLOP/s that cuBLASLt tends to in bfloat16 as products grow
	sms       float64
	clock     float64 // Hz under load
	mma       float64 // cycles of a quarter of an SM that one mma.m16n8k16 takes
	gap       float64 // seconds between two kernels of a stream
	cudnn     bool    // has a deterministic engine of cuDNN's for packed sequences
}

// cards: an H100's products reach 630 TFLOP/s at 2,048 tokens and 695 at 8,192 as others measured them; its mma.sync has 62.9 % of wgmma's
// peak, so that one takes 6.36 cycles instead of 4. The others' figures keep an H100's shares of the peaks.
var cards = map[string]card{
	"h100":    {bandwidth: 2.55e12, reading: 2.96e12, library: 720e12, sms: 132, clock: 1.7025e9, mma: 6.36, gap: 0.95e-6, cudnn: true},
	"h200":    {bandwidth: 3.65e12, reading: 4.25e12, library: 720e12, sms: 132, clock: 1.7025e9, mma: 6.36, gap: 0.95e-6, cudnn: true},
	"a100":    {bandwidth: 1.60e12, reading: 1.80e12, library: 250e12, sms: 108, clock: 1.35e9, mma: 8, gap: 1.2e-6},
	"rtx4090": {bandwidth: 0.88e12, reading: 0.93e12, library: 150e12, sms: 128, clock: 2.50e9, mma: 32, gap: 0.95e-6},
}

var cardNames = slices.Sorted(maps.Keys(cards))

// waves is the share of a card that work over so many tokens fills: the last wave of blocks is rarely full. half is the number of tokens at
// which half of an H100 is filled.
func (c card) waves(tokens, half float64) float64 {
	const h100 = 132
	return tokens / (tokens + half*c.sms/h100)
}
