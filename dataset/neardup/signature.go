// Package neardup finds near duplicates between the training records and the others: MinHash signatures of texts, a store
// of them on disk, and locality-sensitive hashing over it (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.3
// and 3.4).
package neardup

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/zeebo/xxh3"
)

const (
	permutations = 128
	shingleRunes = 5
)

// Signature is the MinHash of a text's set of shingles. Two signatures agree at each position with probability J, the
// Jaccard similarity of the sets.
type Signature [permutations]uint32

// Of returns the signature of a text. Shingles are the 5-grams of characters of the folded text (NFKC, lower case, runs of
// white space collapsed to one space, none at the ends); a text of fewer than five characters is one shingle.
//
// Each shingle is hashed once and falls into one of 128 bins, which keeps its least value. While bins are empty, the
// shingles are thrown again, into those only (fast similarity sketching, Dahlgaard, Knudsen, Thorup 2017): the estimate of
// texts with few shingles is as good as that of 128 independent permutations, and long texts cost one throw.
func Of(text string) Signature {
	s := sketches.Get().(*sketch)
	defer sketches.Put(s)
	s.fold(text)
	s.begin()
	s.throwAll(s.folded)
	for round := uint64(1); s.filled < permutations; round++ {
		s.throwAgain(round)
	}
	var sig Signature
	for i, value := range s.bins {
		sig[i] = uint32(value)
	}
	return sig
}

// Similarity estimates the Jaccard similarity J of the texts: the share of positions that agree. It is unbiased; its
// standard error is √(J(1−J)/128): 0.044 at 0.5, 0.027 at 0.9.
func (s *Signature) Similarity(t *Signature) float64 {
	equal := 0
	for i := range s {
		if s[i] == t[i] {
			equal++
		}
	}
	return float64(equal) / permutations
}

// sketch is the scratch memory of one call of Of.
type sketch struct {
	folded, normal []byte
	hashes         []uint64 // of the shingles, as long as bins are empty
	bins           [permutations]uint64
	filled         int // bins
}

var sketches = sync.Pool{New: func() any { return new(sketch) }}

const (
	empty     = 1 << 32 // more than any value
	maxHashes = 1 << 12 // beyond this repetitions are dropped: thousands of different shingles leave no bin empty
)

func (s *sketch) begin() {
	s.hashes, s.filled = s.hashes[:0], 0
	for i := range s.bins {
		s.bins[i] = empty
	}
}

// throwAll hashes and throws every shingle of a folded text.
func (s *sketch) throwAll(text []byte) {
	var starts [shingleRunes]int // of the last runes, at their number modulo 5
	n := 0
	for i := 0; i < len(text); {
		if n >= shingleRunes {
			s.throw(xxh3.Hash(text[starts[n%shingleRunes]:i]))
		}
		starts[n%shingleRunes] = i
		n++
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		_, size := utf8.DecodeRune(text[i:])
		i += size
	}
	if n < shingleRunes {
		s.throw(xxh3.Hash(text))
		return
	}
	s.throw(xxh3.Hash(text[starts[n%shingleRunes]:]))
}

// throw is the first round's: every bin is open.
func (s *sketch) throw(h uint64) {
	if s.filled < permutations {
		s.keep(h)
	}
	bin, value := h%permutations, h>>32
	if s.bins[bin] == empty {
		s.filled++
	}
	s.bins[bin] = min(s.bins[bin], value)
}

func (s *sketch) keep(h uint64) {
	if len(s.hashes) == maxHashes {
		slices.Sort(s.hashes)
		s.hashes = slices.Compact(s.hashes)
	}
	s.hashes = append(s.hashes, h)
}

// throwAgain throws the shingles into the bins that were empty before this round. After 128 rounds each round aims at one
// bin, so that it ends.
func (s *sketch) throwAgain(round uint64) {
	before := s.bins
	for _, h := range s.hashes {
		h = mix(h, round)
		bin, value := h%permutations, h>>32
		if round >= permutations {
			bin = round - permutations
		}
		if before[bin] != empty {
			continue
		}
		if s.bins[bin] == empty {
			s.filled++
		}
		s.bins[bin] = min(s.bins[bin], value)
	}
}

// mix is wyhash's of two words: for every round another hash of the shingle.
func mix(h, round uint64) uint64 {
	hi, lo := bits.Mul64(h^0xa0761d6478bd642f, round*0x9e3779b97f4a7c15^0xe7037ed1a0b428db)
	return hi ^ lo
}

const (
	bands = 16
	rows  = permutations / bands
)

// keys are the hashes of the bands, and of the whole signature last: records that agree in one are compared.
func (s *Signature) keys() (keys [bands + 1]uint32) {
	var data [4 * permutations]byte
	for i, value := range s {
		binary.LittleEndian.PutUint32(data[4*i:], value)
	}
	for i := range bands {
		keys[i] = uint32(xxh3.Hash(data[4*rows*i : 4*rows*(i+1)]))
	}
	keys[bands] = uint32(xxh3.Hash(data[:]))
	return keys
}
