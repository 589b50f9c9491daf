package source

import (
	"encoding/binary"
	"fmt"
	"math"
)

// deltaReader reads DELTA_BINARY_PACKED (Encodings.md): a header, and blocks of a least delta, the bit widths of the
// block's miniblocks, and the miniblocks.
type deltaReader struct {
	data       []byte // not yet read
	maxWidth   int    // bits of a value
	miniblocks int    // of a block
	miniblock  int    // values of one
	left       int    // values not yet read

	started bool  // the first value, which the header holds, has been read
	last    int32 // value
	least   int64 // delta
	widths  []byte
	packed  []byte // of the miniblock
	width   int
	at      int // value of the miniblock
	n       int // values of the miniblock that count
}

var errDelta = fmt.Errorf("%w: a page's deltas", errThrift)

// maxDeltaBlock is the most values of a block that the library takes.
const maxDeltaBlock = 64 << 10

func newDelta(data []byte, maxWidth, count int) (*deltaReader, error) {
	d := &deltaReader{data: data, maxWidth: maxWidth}
	block, miniblocks, total := d.uvarint(), d.uvarint(), d.uvarint()
	first, ok := d.varint()
	if !ok || block > maxDeltaBlock || block%128 != 0 || miniblocks == 0 || block/miniblocks == 0 || block/miniblocks%32 != 0 || block%miniblocks != 0 {
		return nil, errDelta
	}
	if total > uint64(count) {
		return nil, fmt.Errorf("%w: %d values in a page of %d", errThrift, total, count)
	}
	if maxWidth == 32 && (first < math.MinInt32 || first > math.MaxInt32) {
		return nil, errDelta
	}
	d.miniblocks, d.miniblock, d.left, d.last = int(miniblocks), int(block/miniblocks), int(total), int32(first)
	return d, nil
}

// uvarint reads a number; where there is none, nothing is left for the numbers after it.
func (d *deltaReader) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.data = nil
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *deltaReader) varint() (v int64, ok bool) {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		return 0, false
	}
	d.data = d.data[n:]
	return v, true
}

// advance goes to the next miniblock.
func (d *deltaReader) advance() error {
	if len(d.widths) == 0 {
		var ok bool
		if d.least, ok = d.varint(); !ok || len(d.data) < d.miniblocks {
			return errDelta
		}
		d.widths, d.data = d.data[:d.miniblocks], d.data[d.miniblocks:]
	}
	d.width = int(d.widths[0])
	d.widths = d.widths[1:]
	size := d.miniblock * d.width / 8
	if d.width > d.maxWidth || size > len(d.data) {
		return errDelta
	}
	d.packed, d.data = d.data[:size], d.data[size:]
	d.at, d.n = 0, min(d.miniblock, d.left)
	return nil
}

// skip passes over all values, and returns the bytes that follow them.
func (d deltaReader) skip() (rest []byte, err error) {
	for d.left--; d.left > 0; d.left -= d.n {
		if err := d.advance(); err != nil {
			return nil, err
		}
	}
	return d.data, nil
}

// next reads the next value, of 32 bits. There must be one left.
func (d *deltaReader) next() (int32, error) {
	if !d.started {
		d.started = true
		d.left--
		return d.last, nil
	}
	if d.at == d.n {
		if err := d.advance(); err != nil {
			return 0, err
		}
	}
	var word [8]byte
	bit := d.at * d.width
	copy(word[:], d.packed[bit/8:])
	delta := binary.LittleEndian.Uint64(word[:]) >> (bit % 8) & (1<<d.width - 1)
	d.at++
	d.left--
	d.last += int32(d.least) + int32(delta)
	return d.last, nil
}

// checkDelta checks integers of a width of 32 or 64 bits.
func checkDelta(data []byte, width, count int) error {
	d, err := newDelta(data, width, count)
	if err == nil {
		_, err = d.skip()
	}
	return err
}

// deltaLengths reads lengths up to the bytes that follow them.
func deltaLengths(data []byte, count int) (lengths *deltaReader, rest []byte, err error) {
	if lengths, err = newDelta(data, 32, count); err == nil {
		rest, err = lengths.skip()
	}
	return lengths, rest, err
}

// checkDeltaLengths checks DELTA_LENGTH_BYTE_ARRAY: lengths, and the bytes of all values.
func checkDeltaLengths(data []byte, count int) error {
	lengths, rest, err := deltaLengths(data, count)
	for total := 0; err == nil && lengths.left > 0; {
		var length int32
		if length, err = lengths.next(); err == nil && (length < 0 || int(length) > len(rest)-total) {
			err = errDelta
		}
		total += int(length)
	}
	return err
}

// checkDeltaBytes checks DELTA_BYTE_ARRAY: how much of the value before each begins with, the lengths of what follows, and
// the bytes of that. It returns the bytes of all values, of which each has size, or any where size is negative.
func checkDeltaBytes(data []byte, count int, size int64) (total int64, err error) {
	prefixes, rest, err := deltaLengths(data, count)
	if err != nil {
		return 0, err
	}
	suffixes, rest, err := deltaLengths(rest, count)
	if err != nil {
		return 0, err
	}
	if prefixes.left != suffixes.left {
		return 0, errDelta
	}
	last, stored := int64(0), int64(0) // length of the value before, bytes of suffixes
	for prefixes.left > 0 {
		prefix, err := prefixes.next()
		if err != nil {
			return 0, err
		}
		suffix, err := suffixes.next()
		if err != nil {
			return 0, err
		}
		if stored += int64(suffix); prefix < 0 || suffix < 0 || int64(prefix) > last || stored > int64(len(rest)) {
			return 0, errDelta
		}
		last = int64(prefix) + int64(suffix)
		if size >= 0 && last != size {
			return 0, errDelta
		}
		if total += last; total > maxPage {
			return 0, fmt.Errorf("a page's texts take more than %d MB: write the file with smaller pages", maxPage>>20)
		}
	}
	return total, nil
}
