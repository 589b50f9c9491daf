package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

// text reads the rows of JSON text: lines of a JSONL file, or values of a JSON one.
type text struct {
	*stream
	r     *bufio.Reader
	cut   cutter
	start int64 // bytes of text before the cutter's
	line  int64 // of the last row
}

// cutter cuts a text into rows.
type cutter interface {
	next(dst []byte) (_ []byte, tooLong bool, err error)
	offset() int64 // bytes that rows have been cut from
}

func openText(ctx context.Context, file File, from Position) (rows, error) {
	s, err := openStream(ctx, file.Path, file.Compression)
	if err != nil {
		return nil, err
	}
	t := &text{stream: s, start: from.Offset, line: from.Line}
	if err := t.seek(file, from.Offset); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if file.Format == "jsonl" {
		t.cut = &lineReader{r: t.r, max: maxRow}
	} else {
		t.cut = &valueReader{r: t.r, max: maxRow, array: file.array, begun: from.Offset > 0, start: from.Offset, count: from.Line}
	}
	return t, nil
}

// seek goes to an offset of the text; where bytes on disk are not those of the text, by reading up to there.
func (t *text) seek(file File, offset int64) error {
	plain := file.Compression == "" && file.Encoding == ""
	if plain {
		if _, err := t.file.Seek(offset, io.SeekStart); err != nil {
			return err
		}
		t.consumed = offset
	}
	decoded := t.stream.Reader
	if file.Encoding != "" {
		decoded = newTranscoder(decoded, file.Encoding)
	}
	t.r = bufio.NewReaderSize(decoded, 256<<10)
	if plain {
		return nil
	}
	_, err := io.CopyN(io.Discard, t.r, offset)
	return err
}

func (t *text) read() int64 { return t.consumed }

func (t *text) next(b *Block) error {
	buf := make([]byte, 0, blockSize+blockSize/8)
	var ends []int
	from := t.cut.offset()
	for t.cut.offset()-from < blockSize {
		start := len(buf)
		grown, tooLong, err := t.cut.next(buf)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		buf = grown
		t.line++
		row := Row{Line: t.line}
		if tooLong {
			row.Fault, row.Detail = tooLongFault, tooLongDetail
		} else if bytes.HasPrefix(buf[start:], byteOrderMark) { // files joined by cat have one in their middle
			buf = append(buf[:start], buf[start+len(byteOrderMark):]...)
		}
		if !tooLong && blank(buf[start:]) {
			buf = buf[:start]
			continue
		}
		b.Rows = append(b.Rows, row)
		ends = append(ends, len(buf))
	}
	if t.cut.offset() == from {
		return io.EOF
	}
	b.cut(buf, ends)
	b.Next = Position{Offset: t.start + t.cut.offset(), Line: t.line}
	return nil
}
