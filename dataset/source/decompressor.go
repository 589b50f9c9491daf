package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// decompressor decompresses Parquet's pages within their size, which the library's own decoders do not enforce.
type decompressor struct {
	buf  []byte
	zstd *zstd.Decoder
	gzip *gzip.Reader
}

var errPageSize = fmt.Errorf("%w: a page is larger than its header says", errThrift)

// decompress returns the content of a page, which may have size bytes at most. It is valid until the next call.
func (d *decompressor) decompress(codec format.CompressionCodec, page []byte, size int) (data []byte, err error) {
	if codec == format.Uncompressed {
		return page, nil
	}
	d.buf = sized(d.buf, size+1+bytes.MinRead) // so that fill never grows it
	switch codec {
	case format.Snappy:
		if n, err := snappy.DecodedLen(page); err != nil || n > size {
			return nil, errors.Join(errPageSize, err)
		}
		data, err = snappy.Decode(d.buf, page)
	case format.Zstd:
		if d.zstd == nil {
			d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
			if err != nil {
				return nil, err
			}
		}
		data, err = d.zstd.DecodeAll(page, d.buf[:0:size])
	case format.Lz4Raw:
		var n int
		n, err = lz4.UncompressBlock(page, d.buf[:size])
		data = d.buf[:max(0, n)]
	case format.Gzip:
		if d.gzip == nil {
			d.gzip, err = gzip.NewReader(bytes.NewReader(page))
		} else {
			err = d.gzip.Reset(bytes.NewReader(page))
		}
		if err != nil {
			d.gzip = nil
			break
		}
		data, err = d.fill(d.gzip, size)
	case format.Brotli:
		data, err = d.fill(brotli.NewReader(bytes.NewReader(page)), size)
	default:
		return nil, fmt.Errorf("the compression %s is not read: write the file with zstd or snappy", codec)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: a page's %s: %w", errThrift, codec, err)
	}
	return data, nil
}

// fill reads r to its end, which comes after size bytes at the latest.
func (d *decompressor) fill(r io.Reader, size int) ([]byte, error) {
	b := bytes.NewBuffer(d.buf[:0])
	n, err := b.ReadFrom(io.LimitReader(r, int64(size)+1))
	if n > int64(size) {
		return nil, errPageSize
	}
	return b.Bytes(), err
}

func (d *decompressor) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
}
