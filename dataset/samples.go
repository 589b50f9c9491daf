package dataset

import (
	"fmt"
	"os"
	"sort"

	"golang.org/x/sys/unix"
)

// Sample is one row of a part. InputIDs and Labels are views on the mapped file, not to be written to
// and valid until the Samples are closed.
type Sample struct {
	InputIDs []int32
	Labels   []int32 // −100 where the loss does not count
	// PromptLength is the number of tokens before the assistant's first.
	PromptLength int
	Label        string // four_class_label; empty where records have none
	Domain       string

	SourceFile int    // index in Manifest.Inputs
	SourceLine int64  // in the input file, from 1
	Digest     string // hex SHA-256 of the record

	NearDuplicate bool // of a sample in validation or test: a record of train is near
}

// Samples is an Arrow file of samples, mapped into memory. It is safe for concurrent reading.
type Samples struct {
	mapping  []byte
	batches  []batch
	first    []int // of each batch
	length   int
	metadata map[string]string
}

// Open maps a file that Split wrote. It checks everything At relies on, and fails on a damaged file; values
// are verified by Manifest.Verify alone.
func Open(path string) (*Samples, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open samples: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open samples: %w", err)
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("open samples %s: the file is empty", path)
	}
	mapping, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("open samples %s: map: %w", path, err)
	}
	s, err := read(mapping)
	if err != nil {
		unix.Munmap(mapping)
		return nil, fmt.Errorf("open samples %s: %w", path, err)
	}
	s.mapping = mapping
	return s, nil
}

// Len is the number of samples.
func (s *Samples) Len() int { return s.length }

// Metadata is the schema's: tokenizer_digest, template_digest, seed, policy_version …
func (s *Samples) Metadata() map[string]string { return s.metadata }

// At is sample i of Len, in the order of the input file.
func (s *Samples) At(i int) Sample {
	n := sort.SearchInts(s.first, i+1) - 1
	b, row := &s.batches[n], i-s.first[n]
	sample := Sample{
		InputIDs:     b.ids.at(row),
		Labels:       b.labels.at(row),
		PromptLength: b.promptLength(row),
		Label:        b.label.at(row),
		Domain:       b.domain.at(row),
		SourceLine:   b.line[row],
		Digest:       b.digest.at(row),
	}
	if b.file != nil {
		sample.SourceFile = int(b.file[row])
		sample.NearDuplicate = b.near[row/8]>>(row%8)&1 == 1
	}
	return sample
}

// Close unmaps the file; views from At must not be used any more.
func (s *Samples) Close() error {
	mapping := s.mapping
	*s = Samples{}
	if mapping == nil {
		return nil
	}
	return unix.Munmap(mapping)
}
