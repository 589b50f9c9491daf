package neardup

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Twin is the training record most similar to another record.
type Twin struct {
	Of         Ref
	Similarity float64 // estimate of the Jaccard similarity: Signature.Similarity
}

const (
	maxPartition = 2 << 20 // values expected in a partition, 8 bytes each
	maxProbes    = 1 << 18 // other records held at a time, 8 bytes each
	maxCompared  = 32      // training records of one key that are compared with others
)

// Twins returns the most similar training record of each other record (added with train false), where its estimated
// similarity reaches the threshold; of equally similar ones the first added. The result depends only on what was added
// and in which order. Beside the result, which is held whole, memory stays within the Store's bound.
//
// Only records that agree in one of 16 bands of 8 positions are compared, which finds 1−(1−J⁸)¹⁶ of the pairs of
// similarity J: 0.61 at 0.7, 0.95 at 0.8, 0.994 at 0.85, 0.9999 at 0.9. Thresholds below 0.8 miss many.
//
// Thousands of records of one template may agree in a band. A record is then compared with 32 of the training records in
// that band, chosen differently in each band, and with the first of the same signature, if there is one. Time is
// therefore linear, at most 17 × 32 comparisons for a record, but its twin may not be the most similar.
func (s *Store) Twins(ctx context.Context, threshold float64) (map[Ref]Twin, error) {
	if !(threshold > 0 && threshold <= 1) {
		return nil, fmt.Errorf("near duplicates: threshold %v is not above 0 and at most 1", threshold)
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	j := &join{store: s, least: int(math.Ceil(threshold*permutations - 1e-9)), best: map[uint32]match{}}
	j.trains, j.probes = make([]uint64, 0, s.room()), make([]uint64, 0, min(s.records, maxProbes))
	for _, band := range bandOrder {
		if err := j.band(ctx, band); err != nil {
			return nil, err
		}
	}
	twins := make(map[Ref]Twin, len(j.best))
	for record, m := range j.best {
		var of, e entry
		if err := s.entry(record, &e); err != nil {
			return nil, err
		}
		if err := s.entry(m.train, &of); err != nil {
			return nil, err
		}
		twins[e.ref] = Twin{of.ref, float64(m.equal) / permutations}
	}
	return twins, nil
}

// bandOrder begins with the whole signature: who has a twin of similarity 1 needs no other.
var bandOrder = [...]int{bands, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// match is the most similar training record found so far; equal is the number of positions that agree.
type match struct {
	train uint32
	equal int
}

// join compares records band by band, and within a band partition by partition.
type join struct {
	store    *Store
	least    int // positions that must agree
	best     map[uint32]match
	trains   []uint64 // a key and a training record's place, sorted
	probes   []uint64 // a key and another record
	compared [maxCompared]entry
}

func (j *join) band(ctx context.Context, band int) error {
	s := j.store
	partitions := s.partitions()
	for p := range partitions {
		j.trains = j.trains[:0]
		limit := s.room()
		err := s.scanKeys(ctx, band, func(record, key uint32) error {
			if key&trainBit == 0 || partition(uint64(key&^trainBit)<<32, partitions) != p {
				return nil
			}
			if len(j.trains) == limit {
				j.dropFrequent()
				limit = max(limit, len(j.trains)+s.room()/4) // never, unless the keys are not even
			}
			j.trains = append(j.trains, uint64(key&^trainBit)<<32|uint64(place(record, band)))
			return nil
		})
		if err != nil {
			return err
		}
		j.dropFrequent()
		err = s.scanKeys(ctx, band, func(record, key uint32) error {
			if key&trainBit != 0 || partition(uint64(key&^trainBit)<<32, partitions) != p {
				return nil
			}
			if j.probes = append(j.probes, uint64(key)<<32|uint64(record)); len(j.probes) < maxProbes {
				return nil
			}
			return j.probe(band)
		})
		if err != nil {
			return err
		}
		if err := j.probe(band); err != nil {
			return err
		}
	}
	return nil
}

// dropFrequent sorts the training records and keeps 32 of each key.
func (j *join) dropFrequent() {
	slices.Sort(j.trains)
	kept := j.trains[:0]
	run := 0
	for _, t := range j.trains {
		if len(kept) > 0 && t>>32 != kept[len(kept)-1]>>32 {
			run = 0
		}
		if run++; run <= maxCompared {
			kept = append(kept, t)
		}
	}
	j.trains = kept
}

// probe compares the records held in probes with the training records of the same key, and empties probes.
func (j *join) probe(band int) error {
	slices.Sort(j.probes)
	trains, probes := j.trains, j.probes
	for len(probes) > 0 {
		key := probes[0] >> 32
		n := 1
		for n < len(probes) && probes[n]>>32 == key {
			n++
		}
		first, _ := slices.BinarySearch(trains, key<<32)
		trains = trains[first:]
		if len(trains) > 0 && trains[0]>>32 == key {
			if err := j.compare(band, trains, probes[:n]); err != nil {
				return err
			}
		}
		probes = probes[n:]
	}
	j.probes = j.probes[:0]
	return nil
}

// compare compares the probes, which have one key, with the training records of that key.
func (j *join) compare(band int, trains, probes []uint64) error {
	var records [maxCompared]uint32
	n := 0
	for n < len(trains) && trains[n]>>32 == probes[0]>>32 {
		records[n] = record(uint32(trains[n]), band)
		n++
	}
	loaded := false
	for _, p := range probes {
		other := uint32(p)
		best, found := j.best[other]
		if best.equal == permutations {
			continue
		}
		if !loaded {
			for i := range n {
				if err := j.store.entry(records[i], &j.compared[i]); err != nil {
					return err
				}
			}
			loaded = true
		}
		var e entry
		if err := j.store.entry(other, &e); err != nil {
			return err
		}
		for i := range n {
			equal := e.agreeing(&j.compared[i], max(j.least, best.equal))
			if equal < j.least || found && (equal < best.equal || equal == best.equal && records[i] >= best.train) {
				continue
			}
			best, found = match{records[i], equal}, true
			j.best[other] = best
		}
	}
	return nil
}

// Duplicates returns the number of records whose digest is that of an earlier one.
func (s *Store) Duplicates(ctx context.Context) (n int64, err error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	partitions := s.partitions()
	held := make([]uint64, 0, s.room())
	drop := func() {
		before := len(held)
		slices.Sort(held)
		held = slices.Compact(held)
		n += int64(before - len(held))
	}
	for p := range partitions {
		held = held[:0]
		limit := s.room()
		err := s.columns[digestColumn].scan(ctx, s.records, func(_ int64, data []byte) error {
			for ; len(data) > 0; data = data[8:] {
				digest := binary.LittleEndian.Uint64(data)
				if partition(digest, partitions) != p {
					continue
				}
				if len(held) == limit {
					drop()
					limit = max(limit, len(held)+s.room()/4) // never, unless the digests are not even
				}
				held = append(held, digest)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		drop()
	}
	return n, nil
}

// scanKeys calls key with each record's key in a band.
func (s *Store) scanKeys(ctx context.Context, band int, key func(record, key uint32) error) error {
	return s.columns[band].scan(ctx, s.records, func(first int64, data []byte) error {
		for i := range len(data) / 4 {
			if err := key(uint32(first)+uint32(i), binary.LittleEndian.Uint32(data[4*i:])); err != nil {
				return err
			}
		}
		return nil
	})
}

// partitions is the number of ranges into which a column's values are divided, to be sorted one at a time. The values are
// hashes, so the ranges hold about as many each.
func (s *Store) partitions() uint64 {
	return max(1, uint64((s.records+s.partition-1)/s.partition))
}

// room is how many values of a partition are held before repeated ones are dropped.
func (s *Store) room() int { return int(min(s.records, s.partition+s.partition/2)) + 1 }

func partition(value, partitions uint64) uint64 {
	p, _ := bits.Mul64(value, partitions)
	return p
}

// place maps a training record to its rank among those of one key. It is another permutation in each band, so that
// dropFrequent keeps different records; for the whole signature it is the order of Add.
func place(record uint32, band int) uint32 {
	if band == bands {
		return record
	}
	return (record + uint32(band)*0x3c6ef35f) * spread
}

// record is the inverse of place.
func record(place uint32, band int) uint32 {
	if band == bands {
		return place
	}
	return place*unspread - uint32(band)*0x3c6ef35f
}

const (
	spread   = 0x9e3779b1
	unspread = 0xe8b2f51 // spread × unspread is 1 modulo 2³²
)
