package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// Bounds of a Parquet file. The library trusts what a file says of itself, so that all of it is checked before.
const (
	maxFooter     = 8 << 20
	maxPageHeader = 1 << 20
	maxPage       = 256 << 20 // bytes, decompressed
	maxPages      = 512 << 20 // bytes of the largest pages of a row group's columns, which are in memory together
	maxPageValues = 8 << 20
	maxFields     = 10000 // of a schema
	maxDepth      = 24    // of a schema
)

// readFooter reads the metadata at the end of a Parquet file.
func readFooter(r io.ReaderAt, size int64) (*format.FileMetaData, error) {
	var tail [8]byte
	if size < 12 {
		return nil, errCut
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != "PAR1" {
		return nil, fmt.Errorf("Parquet's footer is missing: %w", io.ErrUnexpectedEOF)
	}
	if length > maxFooter || length > size-12 {
		return nil, fmt.Errorf("%w: a footer of %d bytes", errThrift, length)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-8-length); err != nil {
		return nil, err
	}
	if _, err := walkThrift(footer); err != nil {
		return nil, fmt.Errorf("%w: %w", errThrift, err)
	}
	meta := &format.FileMetaData{}
	n, err := decodeThrift(footer, meta)
	if err != nil || n > len(footer) {
		return nil, fmt.Errorf("%w: %w", errThrift, err)
	}
	return meta, nil
}

// decodeThrift decodes the struct that data begins with, once it has been walked.
func decodeThrift(data []byte, to any) (length int, err error) {
	if length, err = walkThrift(data); err == nil {
		err = thrift.Unmarshal(new(thrift.CompactProtocol), data[:length], to)
	}
	return length, err
}

// checkPages walks over the pages of a row group's columns.
func checkPages(r io.ReaderAt, size int64, group *format.RowGroup) error {
	total := int64(0)
	for i := range group.Columns {
		m := &group.Columns[i].MetaData
		start := m.DataPageOffset
		if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < start {
			start = m.DictionaryPageOffset
		}
		if start < 4 || m.TotalCompressedSize < 0 || start > size-m.TotalCompressedSize {
			return fmt.Errorf("%w: a column outside of the file", errThrift)
		}
		largest, err := checkColumn(r, start, start+m.TotalCompressedSize, m)
		if err != nil {
			return fmt.Errorf("column %.60q: %w", fmt.Sprint([]string(m.PathInSchema)), err)
		}
		if total += largest; total > maxPages {
			return fmt.Errorf("a row group's pages take more than %d MB: write the file with smaller pages", maxPages>>20)
		}
	}
	return nil
}

// checkColumn walks over a column's pages, and returns how much of them is in memory at a time.
func checkColumn(r io.ReaderAt, at, end int64, m *format.ColumnMetaData) (largest int64, err error) {
	dictionary := int64(0)
	for values := int64(0); at < end && values < m.NumValues; {
		h, length, err := readPageHeader(r, at, end)
		if err != nil {
			return 0, err
		}
		at += int64(length)
		if h.CompressedPageSize < 0 || int64(h.CompressedPageSize) > end-at || h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPage {
			return 0, fmt.Errorf("%w: a page of %d bytes (at most %d are read)", errThrift, h.UncompressedPageSize, maxPage)
		}
		page := make([]byte, h.CompressedPageSize)
		if _, err := r.ReadAt(page, at); err != nil {
			return 0, err
		}
		at += int64(len(page))
		count, err := checkPage(h, page, m.Codec)
		if err != nil {
			return 0, err
		}
		if h.Type == format.DictionaryPage {
			dictionary = max(dictionary, int64(h.UncompressedPageSize)+16*int64(count))
			continue
		}
		values += int64(count)
		largest = max(largest, int64(h.UncompressedPageSize)+16*int64(count))
	}
	return largest + dictionary, nil
}

// readPageHeader reads the header of a page, whose length is not known before.
func readPageHeader(r io.ReaderAt, at, end int64) (h *format.PageHeader, length int, err error) {
	for size := int64(4 << 10); ; size *= 16 {
		size = min(size, end-at, maxPageHeader)
		head := make([]byte, size)
		if _, err := r.ReadAt(head, at); err != nil {
			return nil, 0, err
		}
		h = &format.PageHeader{}
		length, err = decodeThrift(head, h)
		if err == nil || !errors.Is(err, io.ErrUnexpectedEOF) || size == end-at || size == maxPageHeader {
			return h, length, err
		}
	}
}

// checkPage checks what a page says of itself, and returns the number of its values.
func checkPage(h *format.PageHeader, page []byte, codec format.CompressionCodec) (count int32, err error) {
	data, encoding, size := page, format.Plain, int64(h.UncompressedPageSize)
	switch h.Type {
	case format.DictionaryPage:
		count = h.DictionaryPageHeader.V.NumValues
	case format.DataPage:
		count, encoding = h.DataPageHeader.V.NumValues, h.DataPageHeader.V.Encoding
	case format.DataPageV2:
		v := h.DataPageHeaderV2.V
		count, encoding = v.NumValues, v.Encoding
		levels := int64(v.RepetitionLevelsByteLength) + int64(v.DefinitionLevelsByteLength)
		if v.RepetitionLevelsByteLength < 0 || v.DefinitionLevelsByteLength < 0 || levels > int64(len(data)) || v.NumNulls < 0 || v.NumNulls > count {
			return 0, errThrift
		}
		if data = data[levels:]; v.IsCompressed.Valid && !v.IsCompressed.V {
			codec = format.Uncompressed
		}
	default:
		return 0, fmt.Errorf("%w: a page of kind %d", errThrift, h.Type)
	}
	if count < 0 || count > maxPageValues {
		return 0, fmt.Errorf("%w: a page of %d values (at most %d are read)", errThrift, count, maxPageValues)
	}
	switch encoding {
	case format.Plain, format.PlainDictionary, format.RLEDictionary, format.RLE, format.BitPacked, format.ByteStreamSplit:
	default:
		// Their own counts decide what is allocated, and a delta of byte arrays grows with the square of its page.
		return 0, fmt.Errorf("the encoding %s is not read: write the file with plain or dictionary encoding", encoding)
	}
	return count, checkSize(codec, data, size)
}

// checkSize holds a decompressed page within its size. The library's decoders know no limit.
func checkSize(codec format.CompressionCodec, data []byte, size int64) error {
	tooLarge := fmt.Errorf("%w: a page is not of the size that it says", errThrift)
	var r io.Reader
	switch codec {
	case format.Uncompressed:
		return nil
	case format.Snappy:
		if n, err := snappy.DecodedLen(data); err != nil || int64(n) > size {
			return tooLarge
		}
		return nil
	case format.Zstd:
		if n, known := zstdSize(data); known && n <= size {
			return nil
		}
		d, err := newZstd(bytes.NewReader(data))
		if err != nil {
			return err
		}
		defer d.Close()
		r = d
	case format.Gzip:
		d, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return err
		}
		r = d
	case format.Brotli:
		r = brotli.NewReader(bytes.NewReader(data))
	case format.Lz4Raw:
		if _, err := lz4.UncompressBlock(data, make([]byte, size)); err != nil {
			return tooLarge
		}
		return nil
	default:
		return fmt.Errorf("the compression %s is not read: write the file with zstd or snappy", codec)
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(r, size+1)); err != nil || n > size {
		return errors.Join(tooLarge, err)
	}
	return nil
}

// zstdSize adds up what the frames say they hold; known is false if one does not, or is damaged. A decoder refuses a
// frame that holds more than it says.
func zstdSize(data []byte) (size int64, known bool) {
	for len(data) > 0 {
		var h zstd.Header
		if h.Decode(data) != nil || h.Skippable || !h.HasFCS || h.FrameContentSize > maxPage {
			return 0, false
		}
		size += int64(h.FrameContentSize)
		data = data[h.HeaderSize:]
		for last := false; !last; {
			if len(data) < 3 {
				return 0, false
			}
			head := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16
			length := int(head >> 3)
			if head>>1&3 == 1 { // one byte, repeated
				length = 1
			}
			if last = head&1 == 1; 3+length > len(data) {
				return 0, false
			}
			data = data[3+length:]
		}
		if h.HasCheckSum {
			data = data[min(4, len(data)):]
		}
	}
	return size, true
}
