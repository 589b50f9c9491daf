package engine

import "math/bits"

// philox4x32 is the counter-based generator Philox4x32-10 (Salmon et al., SC 2011): a draw is a function of key and counter,
// so a checkpoint needs no generator state.
func philox4x32(counter [4]uint32, key [2]uint32) [4]uint32 {
	c, k := counter, key
	for range 10 {
		hi0, lo0 := bits.Mul32(0xD2511F53, c[0])
		hi1, lo1 := bits.Mul32(0xCD9E8D57, c[2])
		c = [4]uint32{hi1 ^ c[1] ^ k[0], lo1, hi0 ^ c[3] ^ k[1], lo0}
		k[0] += 0x9E3779B9
		k[1] += 0xBB67AE85
	}
	return c
}

// Purposes of draws: the fourth word of the counter. The native library's dropout has its own.
const (
	drawOrder  uint32 = 0x4F524445 + iota // the order of an epoch's samples
	drawInit                              // LoRA's A
	drawSample                            // sampling from a distribution over tokens
)

// draws is the stream of random numbers of one key.
type draws struct {
	key     [2]uint32
	counter [4]uint32
	block   [4]uint32
	left    int
}

func newDraws(seed uint64, purpose, a, b uint32) *draws {
	return &draws{key: [2]uint32{uint32(seed), uint32(seed >> 32)}, counter: [4]uint32{0, a, b, purpose}}
}

func (d *draws) uint32() uint32 {
	if d.left == 0 {
		d.block, d.left = philox4x32(d.counter, d.key), 4
		d.counter[0]++
	}
	d.left--
	return d.block[3-d.left]
}

// float returns a number in [0, 1) with 24 random bits, exact in float32.
func (d *draws) float() float64 { return float64(d.uint32()>>8) / (1 << 24) }

// below returns a number in [0, n) without bias (Lemire, arXiv 1805.10941).
func (d *draws) below(n uint32) uint32 {
	hi, lo := bits.Mul32(d.uint32(), n)
	for threshold := -n % n; lo < threshold; {
		hi, lo = bits.Mul32(d.uint32(), n)
	}
	return hi
}

// epochOrder is the order in which an epoch visits n samples (Fisher and Yates): a function of seed and epoch.
func epochOrder(seed uint64, epoch, n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	d := newDraws(seed, drawOrder, uint32(epoch), 0)
	for i := n - 1; i > 0; i-- {
		j := d.below(uint32(i + 1))
		order[i], order[j] = order[j], order[i]
	}
	return order
}
