package robots

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
)

// Stored is an answer as it was received.
type Stored struct {
	Status int
	Text   []byte // nil: none
}

// Answer parses the text.
func (s Stored) Answer() Answer {
	if s.Text == nil {
		return Answer{Status: s.Status}
	}
	return Answer{s.Status, Parse(s.Text)}
}

// Memory is a Store by authority.
type Memory map[string]Stored

func (m Memory) Entry(authority string) (Entry, bool) {
	s, ok := m[authority]
	return Entry{File: authority, SHA256: sha256.Sum256(s.Text), Status: s.Status}, ok
}

func (m Memory) Answer(authority string) (Answer, bool) {
	s, ok := m[authority]
	return s.Answer(), ok
}

func (m Memory) Digest() (digest [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(m)) {
		entry, _ := m.Entry(name)
		h.Write([]byte(name + "\x00"))
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(entry.Status)))
		h.Write(entry.SHA256[:])
	}
	h.Sum(digest[:0])
	return digest
}

func (m Memory) Err() error { return nil }
