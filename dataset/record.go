package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Record is one line of the input. The first four fields must be there, and only Input may be empty.
type Record struct {
	Instruction    string `json:"instruction"`
	Input          string `json:"input"`
	Output         string `json:"output"`
	FourClassLabel string `json:"four_class_label"`

	DomainLabel    string `json:"domain_label"`
	SafetyLabel    string `json:"safety_label"`
	ThinkingFormat string `json:"thinking_format"`
	System         string `json:"system"`
	SourceURL      string `json:"source_url"`
	License        string `json:"license"`
	NSFW           bool   `json:"nsfw"`

	Line int64 `json:"-"` // in the input file, from 1
}

// Digest is the SHA-256 of everything a sample is made of.
func (r *Record) Digest() (sum [sha256.Size]byte) {
	h := sha256.New()
	writeFields(h, r.System, r.Instruction, r.Input, r.Output, r.FourClassLabel, r.DomainLabel, r.SafetyLabel)
	h.Sum(sum[:0])
	return sum
}

// writeFields hashes strings with their lengths: "ab", "c" is not "a", "bc".
func writeFields(h hash.Hash, fields ...string) {
	var n [8]byte
	for _, field := range fields {
		binary.LittleEndian.PutUint64(n[:], uint64(len(field)))
		h.Write(n[:])
		h.Write([]byte(field))
	}
}
