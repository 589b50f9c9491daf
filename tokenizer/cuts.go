package tokenizer

// cuts is the set of pairs of runes between which a text may be cut without changing its tokens.
//
// A merge across the boundary of the runes a and b yields an entry in which b follows a. If no merge's
// result contains that pair, the text's two sides are encoded independently, so a cut there is exact.
// In the known vocabularies that holds before every word (only "▁" is followed by "▁") and
// between nearly all Japanese characters.
//
// The set is a bitmap over a hash: a collision only hides a cut, which costs time.
type cuts struct {
	joined [cutWords]uint64
}

const (
	cutBits  = 20
	cutWords = 1 << cutBits / 64
)

func cutHash(a, b rune) (word, bit uint64) {
	h := (uint64(uint32(a))<<21 | uint64(uint32(b))) * 0x9E3779B97F4A7C15 >> (64 - cutBits)
	return h / 64, h % 64
}

// join forbids cuts between the runes of content, the result of a merge.
func (c *cuts) join(content string) {
	last := rune(-1)
	for _, r := range content {
		if last >= 0 {
			word, bit := cutHash(last, r)
			c.joined[word] |= 1 << bit
		}
		last = r
	}
}

// between reports whether the text may be cut between a and b.
func (c *cuts) between(a, b rune) bool {
	word, bit := cutHash(a, b)
	return c.joined[word]&(1<<bit) == 0
}
