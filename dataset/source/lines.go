package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

var byteOrderMark = []byte("\xEF\xBB\xBF")

// lineReader cuts a text into lines that end in LF or CR LF.
type lineReader struct {
	r     *bufio.Reader
	max   int   // bytes of a line with its end
	taken int64 // bytes of all lines so far
}

// next appends a line without its end to dst; of one that is too long, nothing. io.EOF means that no line is left.
func (l *lineReader) next(dst []byte) (_ []byte, tooLong bool, err error) {
	start, read := len(dst), 0
	for {
		chunk, err := l.r.ReadSlice('\n')
		read += len(chunk)
		if read <= l.max {
			dst = append(dst, chunk...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return dst[:start], false, err
		}
		if read == 0 {
			return dst, false, io.EOF
		}
		break
	}
	l.taken += int64(read)
	if read > l.max {
		return dst[:start], true, nil
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(dst[start:], []byte("\n")), []byte("\r"))
	return dst[:start+len(line)], false, nil
}

func (l *lineReader) offset() int64 { return l.taken }

func blank(text []byte) bool { return len(bytes.TrimLeft(text, " \t\r\n")) == 0 }
