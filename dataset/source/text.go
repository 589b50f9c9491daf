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
	r   *bufio.Reader
	cut interface {
		next(dst []byte) (_ []byte, tooLong bool, err error)
	}
	start int64  // bytes of text before from
	taken *int64 // bytes of text that cut has taken since
	line  int64  // of the last row
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
		lines := &lineReader{r: t.r, max: maxRow}
		t.cut, t.taken = lines, &lines.taken
	} else {
		values := &valueReader{r: t.r, max: maxRow, array: file.array, begun: from.Offset > 0, start: from.Offset, count: from.Line}
		t.cut, t.taken = values, &values.taken
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
	taken := *t.taken
	for *t.taken-taken < blockSize {
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
			row.Fault, row.Detail = "line_too_long", "more than 16 MiB"
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
	if *t.taken == taken {
		return io.EOF
	}
	start := 0
	for i, end := range ends {
		if b.Rows[i].Fault == "" {
			b.Rows[i].JSON = buf[start:end:end]
		}
		start = end
	}
	b.Next = Position{Offset: t.start + *t.taken, Line: t.line}
	return nil
}
