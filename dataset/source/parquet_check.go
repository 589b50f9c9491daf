package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Bounds of a Parquet file. The library trusts what a file claims about itself, so every claim is checked first.
const (
	maxFooter     = 8 << 20
	maxPageHeader = 1 << 20
	maxPage       = 256 << 20 // bytes, decompressed
	maxPages      = 512 << 20 // bytes, the sum over a row group's columns of their largest page: one of each is in memory
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
		return nil, fmt.Errorf("the Parquet footer is missing: %w", io.ErrUnexpectedEOF)
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

// pageChecker checks the pages of a row group before the library decodes them.
type pageChecker struct {
	file         io.ReaderAt
	size         int64 // of the file
	page         []byte
	decompressor decompressor
}

// checkPages checks all pages of a row group, whose columns are leaves of the schema.
func checkPages(file io.ReaderAt, size int64, group *format.RowGroup, leaves []*parquetField) error {
	if len(group.Columns) != len(leaves) {
		return fmt.Errorf("%w: a row group of %d columns, not %d", errThrift, len(group.Columns), len(leaves))
	}
	c := &pageChecker{file: file, size: size}
	defer c.decompressor.close()
	total := int64(0)
	for i := range group.Columns {
		m := &group.Columns[i].MetaData
		largest, err := c.column(m, leaves[i])
		if err != nil {
			return fmt.Errorf("column %.60q: %w", strings.Join(m.PathInSchema, "."), err)
		}
		if total += largest; total > maxPages {
			return fmt.Errorf("a row group's pages take more than %d MB: write the file with smaller pages", maxPages>>20)
		}
	}
	return nil
}

// column checks a column's pages, and returns the bytes of memory that its largest one and its dictionary take.
func (c *pageChecker) column(m *format.ColumnMetaData, leaf *parquetField) (memory int64, err error) {
	at := m.DataPageOffset
	if m.DictionaryPageOffset != 0 {
		at = m.DictionaryPageOffset
	}
	if at < 4 || at > m.DataPageOffset || m.TotalCompressedSize < 0 || at > c.size-m.TotalCompressedSize {
		return 0, fmt.Errorf("%w: a column outside of the file", errThrift)
	}
	end := at + m.TotalCompressedSize
	dictionary, largest, found := int64(0), int64(0), at == m.DataPageOffset
	for at < end {
		h, length, err := readPageHeader(c.file, at, end)
		if err != nil {
			return 0, err
		}
		at += int64(length)
		if h.CompressedPageSize < 0 || int64(h.CompressedPageSize) > end-at || h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPage {
			return 0, fmt.Errorf("%w: a page of %d bytes (at most %d are read)", errThrift, h.UncompressedPageSize, maxPage)
		}
		c.page = sized(c.page, int(h.CompressedPageSize))
		if _, err := c.file.ReadAt(c.page, at); err != nil {
			return 0, err
		}
		at += int64(len(c.page))
		found = found || at == m.DataPageOffset
		used, err := c.check(h, m.Codec, leaf)
		if err != nil {
			return 0, err
		}
		if h.Type == format.DictionaryPage {
			dictionary = max(dictionary, used)
		} else {
			largest = max(largest, used)
		}
	}
	if !found { // the library would take the middle of a page for a page that has not been checked
		return 0, fmt.Errorf("%w: no page begins at byte %d", errThrift, m.DataPageOffset)
	}
	return largest + dictionary, nil
}

// sized returns a buffer of n bytes, b if it is large enough.
func sized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// readPageHeader reads the header of a page. Its length is known only once it is decoded.
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
