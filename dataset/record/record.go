// Package record turns a row's JSON object, of whatever form, into a Record.
package record

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Turn is one turn of a conversation. Role is user or assistant.
type Turn struct{ Role, Content string }

// Record is one record of the input: a conversation whose last user turn is Instruction and Input, and its answer Output.
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

	Earlier []Turn `json:"-"` // the turns before Instruction

	File int   `json:"-"` // index of its input file
	Line int64 `json:"-"` // in that file, from 1
}

// Digest is the SHA-256 of everything a sample is made of.
func (r *Record) Digest() (sum [sha256.Size]byte) {
	h := sha256.New()
	WriteFields(h, r.System, r.Instruction, r.Input, r.Output, r.FourClassLabel, r.DomainLabel, r.SafetyLabel)
	for _, t := range r.Earlier {
		WriteFields(h, t.Role, t.Content)
	}
	h.Sum(sum[:0])
	return sum
}

// WriteFields hashes strings with their lengths: "ab", "c" is not "a", "bc".
func WriteFields(h hash.Hash, fields ...string) {
	var n [8]byte
	for _, field := range fields {
		binary.LittleEndian.PutUint64(n[:], uint64(len(field)))
		h.Write(n[:])
		h.Write([]byte(field))
	}
}
