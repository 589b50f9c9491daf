package dataset

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"

	"so8t/dataset/record"
)

// The parts, in the order of the thresholds, and their file names without .arrow.
const (
	train = iota
	val
	test
	parts
)

var partNames = [parts]string{"train", "val", "test"}

// Shares of the whole; the rest is test.
const (
	trainShare = 0.8
	valShare   = 0.1
)

// parter assigns records to parts by HMAC-SHA-256 of the prompt (system, earlier turns, instruction, input), keyed by the seed.
//
// The part is a function of the prompt and the seed alone. So exact duplicates, and records that answer the
// same prompt differently, share a part; test never repeats a prompt of train; and adding or removing records moves
// no other. The cost is that the shares are expectations: exact quotas would have to move records.
// The same thresholds hold within each label, so each label is split 80/10/10 up to chance (of n records
// of a label, n/10 ± 0.3·√n are in test), which is what stratified means here. The manifest counts labels by part.
type parter struct{ mac hash.Hash }

func newParter(seed uint64) *parter {
	var key [8]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &parter{mac: hmac.New(sha256.New, key[:])}
}

func (p *parter) part(r *record.Record) int {
	p.mac.Reset()
	record.WriteFields(p.mac, r.System, r.Instruction, r.Input)
	for _, t := range r.Earlier {
		record.WriteFields(p.mac, t.Role, t.Content)
	}
	var sum [sha256.Size]byte
	u := float64(binary.LittleEndian.Uint64(p.mac.Sum(sum[:0]))) / math.MaxUint64
	switch {
	case u < trainShare:
		return train
	case u < trainShare+valShare:
		return val
	}
	return test
}
