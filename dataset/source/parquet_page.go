package source

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/parquet-go/parquet-go/format"
)

// plainDictionary is how version 1 of Parquet names the encoding of a dictionary and of the indices into it.
const plainDictionary = format.Encoding(2)

// runPadding is by how many values the runs of a page may exceed its count: writers fill up their last run.
const runPadding = 4096

// check checks c.page against its header, and returns the bytes of memory that the decoded page takes.
func (c *pageChecker) check(h *format.PageHeader, codec format.CompressionCodec, leaf *parquetField) (memory int64, err error) {
	dictionary, v1, v2 := h.DictionaryPageHeader, h.DataPageHeader, h.DataPageHeaderV2
	if dictionary.Valid != (h.Type == format.DictionaryPage) || v1.Valid != (h.Type == format.DataPage) || v2.Valid != (h.Type == format.DataPageV2) {
		return 0, fmt.Errorf("%w: a page of kind %d with the header of another", errThrift, h.Type)
	}
	count := max(dictionary.V.NumValues, v1.V.NumValues, v2.V.NumValues)
	if min(dictionary.V.NumValues, v1.V.NumValues, v2.V.NumValues) < 0 || count > maxPageValues {
		return 0, fmt.Errorf("%w: a page of %d values (at most %d are read)", errThrift, count, maxPageValues)
	}
	p := pageValues{leaf: leaf, count: int(count)}
	switch {
	case dictionary.Valid:
		if p.encoding = dictionary.V.Encoding; p.encoding == plainDictionary {
			p.encoding = format.Plain
		}
		if p.encoding != format.Plain {
			return 0, p.refuse()
		}
		p.data, err = c.decompressor.decompress(codec, c.page, int(h.UncompressedPageSize))
	case v1.Valid:
		p.encoding = v1.V.Encoding
		if p.data, err = c.decompressor.decompress(codec, c.page, int(h.UncompressedPageSize)); err == nil {
			err = p.levels1(&v1.V)
		}
	case v2.Valid:
		p.encoding = v2.V.Encoding
		if p.data, err = p.levels2(&v2.V, c.page); err == nil && (!v2.V.IsCompressed.Valid || v2.V.IsCompressed.V) {
			p.data, err = c.decompressor.decompress(codec, p.data, int(h.UncompressedPageSize))
		}
	default:
		err = fmt.Errorf("%w: a page of kind %d", errThrift, h.Type)
	}
	if err != nil {
		return 0, err
	}
	decoded, err := p.check()
	return int64(h.UncompressedPageSize) + 16*int64(count) + decoded, err
}

// pageValues is the values of a page, decompressed.
type pageValues struct {
	leaf     *parquetField
	encoding format.Encoding
	data     []byte
	count    int // of values, with nulls
}

// levels1 takes the levels that a data page begins with.
func (p *pageValues) levels1(h *format.DataPageHeader) error {
	for _, l := range []struct {
		encoding format.Encoding
		highest  int
	}{{h.RepetitionLevelEncoding, p.leaf.repetition}, {h.DefinitionLevelEncoding, p.leaf.definition}} {
		if l.highest == 0 {
			continue
		}
		levels, err := p.prefixed()
		if err == nil && l.encoding == format.RLE {
			err = checkRuns(levels, bits.Len(uint(l.highest)), p.count)
		}
		if err != nil {
			return err
		}
		p.data = p.data[4+len(levels):]
	}
	return nil
}

// levels2 checks the levels of a data page of version 2, and returns what follows them.
func (p *pageValues) levels2(h *format.DataPageHeaderV2, page []byte) (rest []byte, err error) {
	repetition, definition := int64(h.RepetitionLevelsByteLength), int64(h.DefinitionLevelsByteLength)
	if repetition < 0 || definition < 0 || repetition+definition > int64(len(page)) || h.NumNulls < 0 || int(h.NumNulls) > p.count {
		return nil, fmt.Errorf("%w: a page's levels do not fit in it", errThrift)
	}
	if p.leaf.repetition > 0 {
		err = checkRuns(page[:repetition], bits.Len(uint(p.leaf.repetition)), p.count)
	}
	if p.leaf.definition > 0 && err == nil {
		err = checkRuns(page[repetition:repetition+definition], bits.Len(uint(p.leaf.definition)), p.count)
	}
	return page[repetition+definition:], err
}

// prefixed is the bytes that p.data begins with, behind their length.
func (p *pageValues) prefixed() ([]byte, error) {
	if len(p.data) < 4 || int64(binary.LittleEndian.Uint32(p.data)) > int64(len(p.data)-4) {
		return nil, fmt.Errorf("%w: a length outside of its page", errThrift)
	}
	return p.data[4 : 4+binary.LittleEndian.Uint32(p.data)], nil
}

// check checks everything in the values that decides how much memory their decoder allocates, or where it reads. It
// returns the bytes that they take decoded, where these are more than the encoded ones.
func (p *pageValues) check() (decoded int64, err error) {
	kind := p.leaf.element.Type.V
	text := kind == format.ByteArray
	switch {
	case p.encoding == format.Plain, p.encoding == format.ByteStreamSplit:
		return 0, nil
	case p.encoding == format.RLEDictionary, p.encoding == plainDictionary:
		if len(p.data) == 0 {
			return 0, nil
		}
		return 0, checkRuns(p.data[1:], int(p.data[0]), p.count)
	case p.encoding == format.RLE && kind == format.Boolean:
		runs, err := p.prefixed()
		if err != nil {
			return 0, err
		}
		return 0, checkRuns(runs, 1, p.count)
	case p.encoding == format.DeltaBinaryPacked && kind == format.Int32:
		return 0, checkDelta(p.data, 32, p.count)
	case p.encoding == format.DeltaBinaryPacked && kind == format.Int64:
		return 0, checkDelta(p.data, 64, p.count)
	case p.encoding == format.DeltaLengthByteArray && text:
		return 0, checkDeltaLengths(p.data, p.count)
	case p.encoding == format.DeltaByteArray && text:
		decoded, err = checkDeltaBytes(p.data, p.count, -1)
		return 2 * decoded, err // the library's buffer doubles
	case p.encoding == format.DeltaByteArray && kind == format.FixedLenByteArray:
		decoded, err = checkDeltaBytes(p.data, p.count, int64(p.leaf.element.TypeLength.V))
		return 2 * decoded, err
	}
	return 0, p.refuse()
}

func (p *pageValues) refuse() error {
	return fmt.Errorf("the encoding %s of %s is not read: write the column with plain or dictionary encoding", p.encoding, p.leaf.element.Type.V)
}

// checkRuns checks the lengths of runs, which are either one value repeated or values packed in groups of 8 (Encodings.md:
// RLE). width is the bits of a value.
func checkRuns(data []byte, width, count int) error {
	left := uint64(count + runPadding)
	for len(data) > 0 {
		head, n := binary.Uvarint(data)
		if n <= 0 || head>>1 > left {
			return fmt.Errorf("%w: a run of %d values in a page of %d", errThrift, head>>1, count)
		}
		data = data[n:]
		values, size := head>>1, uint64(width+7)/8
		if head&1 == 1 {
			values, size = 8*values, values*uint64(width)
		}
		if values == 0 {
			continue
		}
		if values > left {
			return fmt.Errorf("%w: a run of %d values in a page of %d", errThrift, values, count)
		}
		left -= values
		data = data[min(size, uint64(len(data))):]
	}
	return nil
}
