package neardup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"

	"golang.org/x/sync/errgroup"
)

// Ref names a record: the index of its input file and its line there.
type Ref struct {
	File int32
	Line int64
}

// Store holds the signatures of records in files under one folder, in the order of Add: 348 bytes of disk a record, and
// at most 64 MB of memory for any number. It is not safe for concurrent use.
//
// A column is a file of one value per record: the key of each band, the key of the whole signature, the digest, and the
// entry, which is the signature's lower halves, the Ref and a checksum.
type Store struct {
	columns [columnCount]column
	records int64
	// partition is the number of values expected in a partition: maxPartition but in tests.
	partition int64
	stale     bool // files of an earlier process, of which Truncate has not said how far they are good
}

const (
	digestColumn = bands + 1 // behind the bands' and the whole signature's
	entryColumn  = bands + 2
	columnCount  = bands + 3

	entryBytes = 2*permutations + 12 + 4
	maxRecords = math.MaxUint32

	trainBit = 1 // of a stored key: the record is for training
)

// Position is a state of a store, to be kept in a checkpoint.
type Position struct {
	Records int64               `json:"records"`
	Sums    [columnCount]uint32 `json:"sums"` // CRC-32C of each column
}

// Open opens the store in a folder, or creates it. A store with records of an earlier process must be truncated to a
// Position before any other use; Position{} empties it.
func Open(dir string) (s *Store, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s = &Store{partition: maxPartition}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for i := range s.columns {
		name, size := fmt.Sprintf("band%02d", i), 4
		switch i {
		case digestColumn:
			name, size = "digests", 8
		case entryColumn:
			name, size = "entries", entryBytes
		}
		if err := s.columns[i].open(dir, name, size); err != nil {
			return nil, err
		}
		info, err := s.columns[i].file.Stat()
		if err != nil {
			return nil, err
		}
		s.stale = s.stale || info.Size() > 0
	}
	return s, nil
}

var errStale = errors.New("near duplicates: the store has records of an earlier process; Truncate must be called first")

// Add appends a record. The digest is of everything that makes records equal, evenly distributed.
func (s *Store) Add(train bool, ref Ref, digest uint64, sig *Signature) error {
	if s.stale {
		return errStale
	}
	if s.records == maxRecords {
		return fmt.Errorf("near duplicates: more than %d records", int64(maxRecords))
	}
	s.records++
	var value [entryBytes]byte
	for i, key := range sig.keys() {
		if key &^= trainBit; train {
			key |= trainBit
		}
		binary.LittleEndian.PutUint32(value[:], key)
		if err := s.columns[i].append(value[:4]); err != nil {
			return err
		}
	}
	binary.LittleEndian.PutUint64(value[:], digest)
	if err := s.columns[digestColumn].append(value[:8]); err != nil {
		return err
	}
	e := entry{ref: ref}
	for i, v := range sig {
		e.halves[i] = uint16(v)
	}
	e.encode(&value)
	return s.columns[entryColumn].append(value[:])
}

// Position returns the store's present state; it is on disk once Sync has returned.
func (s *Store) Position() Position {
	p := Position{Records: s.records}
	for i := range s.columns {
		p.Sums[i] = s.columns[i].sum
	}
	return p
}

// Sync writes everything that was added to disk.
func (s *Store) Sync() error {
	var syncs errgroup.Group // at once: the disk writes them together
	for i := range s.columns {
		syncs.Go(s.columns[i].sync)
	}
	return syncs.Wait()
}

// Truncate takes the store back to a position that it had when it was last synced, or before. Files that are too short
// for it are a *DamageError.
func (s *Store) Truncate(p Position) error {
	if p.Records < 0 || p.Records > maxRecords {
		return &DamageError{fmt.Sprintf("a position of %d records", p.Records)}
	}
	for i := range s.columns {
		if err := s.columns[i].truncate(p.Records, p.Sums[i]); err != nil {
			s.stale = true
			return err
		}
	}
	s.records, s.stale = p.Records, false
	return nil
}

// Close closes the files; what was added since Sync may be lost.
func (s *Store) Close() error {
	var errs []error
	for i := range s.columns {
		if s.columns[i].file != nil {
			errs = append(errs, s.columns[i].file.Close())
		}
	}
	return errors.Join(errs...)
}

// flush makes what was added readable.
func (s *Store) flush() error {
	if s.stale {
		return errStale
	}
	for i := range s.columns {
		if err := s.columns[i].writer.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// entry is what comparing a record needs. Lower halves of the signature save disk: two different values have the same lower
// half once in 65,536.
type entry struct {
	halves [permutations]uint16
	ref    Ref
}

func (e *entry) encode(value *[entryBytes]byte) {
	for i, half := range e.halves {
		binary.LittleEndian.PutUint16(value[2*i:], half)
	}
	binary.LittleEndian.PutUint32(value[2*permutations:], uint32(e.ref.File))
	binary.LittleEndian.PutUint64(value[2*permutations+4:], uint64(e.ref.Line))
	binary.LittleEndian.PutUint32(value[entryBytes-4:], crc32.Checksum(value[:entryBytes-4], castagnoli))
}

// entry reads the entry of a record.
func (s *Store) entry(record uint32, e *entry) error {
	var value [entryBytes]byte
	if err := s.columns[entryColumn].readAt(value[:], int64(record)); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(value[entryBytes-4:]) != crc32.Checksum(value[:entryBytes-4], castagnoli) {
		return &DamageError{fmt.Sprintf("%s is damaged at record %d", s.columns[entryColumn].file.Name(), record)}
	}
	for i := range e.halves {
		e.halves[i] = binary.LittleEndian.Uint16(value[2*i:])
	}
	e.ref.File = int32(binary.LittleEndian.Uint32(value[2*permutations:]))
	e.ref.Line = int64(binary.LittleEndian.Uint64(value[2*permutations+4:]))
	return nil
}

// agreeing counts the positions that agree. It gives up, and returns less than least, once least is out of reach.
func (e *entry) agreeing(f *entry, least int) int {
	equal := 0
	for i := 0; i < permutations; i += 16 {
		for j := i; j < i+16; j++ {
			if e.halves[j] == f.halves[j] {
				equal++
			}
		}
		if equal+permutations-i-16 < least {
			break
		}
	}
	return equal
}
