package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLineBytes limits a line, and with it the memory for a file without line feeds.
const maxLineBytes = 16 << 20

var byteOrderMark = []byte("\xEF\xBB\xBF")

// lineReader reads lines that end in LF or CR LF, and skips a byte order mark before the first.
type lineReader struct {
	r     *bufio.Reader
	buf   []byte
	max   int
	count int64 // lines read so far
	read  int64 // bytes of the last line
}

func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 1<<18), max: max}
}

// next returns a line, valid until the next call; without its text if it is too long; io.EOF at the end.
func (l *lineReader) next() (text []byte, tooLong bool, err error) {
	l.buf = l.buf[:0]
	read := 0
	for {
		chunk, err := l.r.ReadSlice('\n')
		read += len(chunk)
		if len(l.buf)+len(chunk) <= l.max {
			l.buf = append(l.buf, chunk...)
		} else {
			tooLong = true
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, false, err
		}
		if read == 0 {
			return nil, false, io.EOF
		}
		break
	}
	l.count++
	l.read = int64(read)
	if tooLong {
		return nil, true, nil
	}
	if l.count == 1 {
		l.buf = bytes.TrimPrefix(l.buf, byteOrderMark)
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(l.buf, []byte("\n")), []byte("\r")), false, nil
}
