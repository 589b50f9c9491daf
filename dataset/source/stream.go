package source

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"syscall"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is what a zstd stream may ask to be remembered; zstd's own program takes no more unless told to.
const maxWindow = 128 << 20

// openRegular opens a regular file; a FIFO or a device is refused, and never waited for.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, &Error{err}
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(path, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// stream is a file's decompressed bytes.
type stream struct {
	io.Reader
	file     *os.File
	consumed int64 // bytes on disk
	close    func()
}

// openStream opens a file's bytes behind its compression.
func openStream(ctx context.Context, path, compression string) (*stream, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	s := &stream{file: f, close: func() {}}
	raw := &interruptible{ctx, &counted{f, &s.consumed}}
	switch compression {
	case "gzip":
		s.Reader, err = gzip.NewReader(bufio.NewReaderSize(raw, 128<<10))
	case "zstd":
		var d *zstd.Decoder
		if d, err = newZstd(raw); err == nil {
			s.Reader, s.close = d, d.Close
		}
	default:
		s.Reader = raw
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func newZstd(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
}

func (s *stream) Close() error {
	s.close()
	return s.file.Close()
}

// counted counts the bytes read.
type counted struct {
	r io.Reader
	n *int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	*c.n += int64(n)
	return n, err
}

// transcoder turns UTF-16 into UTF-8. What is not valid UTF-16 (a surrogate alone, half a code unit) becomes bytes that
// are not valid UTF-8, so that the record's reader sees the fault.
type transcoder struct {
	r     *bufio.Reader
	order binary.ByteOrder
	out   []byte // not yet read
	buf   []byte
	err   error
}

func newTranscoder(r io.Reader, encoding string) *transcoder {
	t := &transcoder{r: bufio.NewReaderSize(r, 64<<10), order: binary.LittleEndian}
	if encoding == "utf-16be" {
		t.order = binary.BigEndian
	}
	return t
}

func (t *transcoder) Read(p []byte) (int, error) {
	for len(t.out) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		t.out = t.buf[:0]
		t.fill()
		t.buf = t.out
	}
	n := copy(p, t.out)
	t.out = t.out[n:]
	return n, nil
}

// fill decodes what is buffered.
func (t *transcoder) fill() {
	raw, err := t.r.Peek(2)
	if len(raw) < 2 {
		if t.err = err; len(raw) == 1 && errors.Is(err, io.EOF) {
			t.out = append(t.out, 0xFF)
		}
		return
	}
	raw, _ = t.r.Peek(t.r.Buffered())
	i := 0
	for i+2 <= len(raw) {
		unit := rune(t.order.Uint16(raw[i:]))
		if !utf16.IsSurrogate(unit) {
			t.out = utf8.AppendRune(t.out, unit)
			i += 2
			continue
		}
		if i+4 > len(raw) && i > 0 {
			break // its other half may follow in the next read
		}
		if i+4 > len(raw) {
			if raw, _ = t.r.Peek(4); len(raw) < 4 { // the end of the file
				t.out = append(t.out, 0xFF)
				i += 2
				break
			}
		}
		if pair := utf16.DecodeRune(unit, rune(t.order.Uint16(raw[i+2:]))); pair != utf8.RuneError {
			t.out = utf8.AppendRune(t.out, pair)
			i += 4
		} else {
			t.out = append(t.out, 0xFF)
			i += 2
		}
	}
	t.r.Discard(i)
}
