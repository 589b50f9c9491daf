package source

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"syscall"

	"so8t/dataset/flatbuf"
)

// Bounds of Arrow's messages.
const (
	maxArrowHeader = 16 << 20
	maxArrowBody   = 512 << 20 // bytes of a batch that is in memory: compressed, or in a compressed file
	maxArrowRows   = 64 << 20  // of a batch
)

// arrowRows reads the rows of an Arrow IPC file or stream. A file is read as the stream that it holds between its marks.
type arrowRows struct {
	in           arrowBytes
	head         []byte // of a stream, taken but not read: its first two words
	file         bool   // ends with a mark, not with its last message
	marked       bool   // a mark stands before each message
	fields       []*arrowField
	names        [][]byte
	dictionaries map[int64][]*arrowArray
	codec        arrowCodec

	batch []*arrowArray // columns
	ended bool          // the last message has been read
	rows  int64         // of the batch
	at    int64         // the next of them
	row   int64         // of the file: the next
}

// arrowBytes is where messages come from.
type arrowBytes interface {
	take(n int64) ([]byte, error)    // the next bytes; io.EOF where there is none left
	rest(most int64) ([]byte, error) // all bytes left; no more than most and one
	read() int64
	io.Closer
}

// The kinds of Message.fbs's header.
const (
	arrowSchema     = 1
	arrowDictionary = 2
	arrowRecords    = 3
)

func openArrow(ctx context.Context, file File, from Position) (_ rows, err error) {
	a := &arrowRows{dictionaries: map[int64][]*arrowArray{}, row: from.Offset}
	if a.in, err = openArrowBytes(ctx, file); err != nil {
		return nil, err
	}
	failed := true
	defer func() {
		if failed {
			err = errors.Join(err, a.Close())
		}
	}()
	if err := a.readMark(); err != nil {
		return nil, err
	}
	kind, header, _, err := a.message()
	if err != nil || kind != arrowSchema {
		return nil, errors.Join(err, errors.New("the Arrow schema is missing"))
	}
	if a.fields, err = readArrowSchema(header); err != nil {
		return nil, err
	}
	for _, f := range a.fields {
		a.names = append(a.names, memberName(f.name))
	}
	skip := a.row
	for skip > 0 {
		if err := a.nextBatch(skip); err == io.EOF {
			return nil, errCut
		} else if err != nil {
			return nil, err
		}
		a.at = min(skip, a.rows)
		skip -= a.at
	}
	failed = false
	return a, nil
}

// readMark passes over the mark that a file begins with.
func (a *arrowRows) readMark() error {
	head, err := a.in.take(8)
	if err != nil {
		return err
	}
	if string(head[:6]) == "ARROW1" {
		a.file = true
		if m, ok := a.in.(*mapped); ok && (len(m.data) < 16 || string(m.data[len(m.data)-6:]) != "ARROW1") {
			return fmt.Errorf("the Arrow footer is missing: %w", io.ErrUnexpectedEOF)
		}
		return nil
	}
	a.head = head
	return nil
}

// take takes the next bytes, those first that readMark has taken from a stream.
func (a *arrowRows) take(n int64) ([]byte, error) {
	if int64(len(a.head)) >= n && n > 0 {
		b := a.head[:n]
		a.head = a.head[n:]
		return b, nil
	}
	return a.in.take(n)
}

// message reads the next message.
func (a *arrowRows) message() (kind byte, header flatbuf.Table, body []byte, err error) {
	if a.ended {
		return 0, header, nil, io.EOF
	}
	length, err := a.word()
	switch {
	case err == nil && length == -1: // since Arrow 0.15 a mark comes before the length
		a.marked = true
		length, err = a.word()
	case err == nil && length != 0 && a.file && a.marked: // Go's writer ends the stream of a file by the footer alone
		a.ended = true
		return 0, header, nil, a.footer()
	}
	if err == nil && length == 0 || errors.Is(err, io.EOF) && !a.file {
		a.ended = true
		return 0, header, nil, io.EOF
	}
	if err != nil {
		return 0, header, nil, errors.Join(err, errCut)
	}
	if length < 0 || length > maxArrowHeader {
		return 0, header, nil, fmt.Errorf("is damaged: a message of %d bytes", length)
	}
	data, err := a.take(int64(length))
	if err != nil {
		return 0, header, nil, errors.Join(err, errCut)
	}
	// Message: 0 version, 1 kind, 2 header, 3 length of the body
	m := flatbuf.Root(data)
	size := m.GetInt64Slot(flatbuf.Slot(3), 0)
	if size < 0 {
		return 0, header, nil, fmt.Errorf("is damaged: a body of %d bytes", size)
	}
	if body, err = a.take(size); err != nil && size > 0 {
		return 0, header, nil, errors.Join(err, errCut)
	}
	return m.GetByteSlot(flatbuf.Slot(1), 0), m.Child(2), body, nil
}

// footer returns io.EOF where what is left of a file is its footer, whose first word has been read.
func (a *arrowRows) footer() error {
	rest, err := a.in.rest(maxArrowHeader)
	if err != nil {
		return errors.Join(err, errCut)
	}
	const word, mark = 4, 6
	tail := len(rest) - word - mark
	if tail < 0 || string(rest[tail+word:]) != "ARROW1" || int64(binary.LittleEndian.Uint32(rest[tail:])) != int64(word+tail) {
		return errors.New("is damaged: neither a message nor the footer stands behind a batch")
	}
	return io.EOF
}

func (a *arrowRows) word() (int32, error) {
	b, err := a.take(4)
	if err != nil {
		return 0, err
	}
	return int32(binary.LittleEndian.Uint32(b)), nil
}

// nextBatch reads up to the next batch of records, and decodes its columns unless it has only rows that are to be skipped.
func (a *arrowRows) nextBatch(skip int64) error {
	for {
		kind, header, body, err := a.message()
		if err != nil {
			return err
		}
		switch kind {
		case arrowDictionary:
			if err := a.addDictionary(header, body); err != nil {
				return err
			}
		case arrowRecords:
			a.rows = header.GetInt64Slot(flatbuf.Slot(0), 0)
			if a.rows < 0 || a.rows > maxArrowRows || a.rows > 1024*(1+int64(len(body))) || len(a.fields) == 0 {
				return fmt.Errorf("is damaged: a batch of %d rows", a.rows)
			}
			a.at, a.batch = 0, nil
			if skip >= a.rows {
				return nil
			}
			l := arrowLoader{batch: header, body: body, codec: &a.codec, dictionaries: a.dictionaries}
			a.batch, err = l.load(a.fields, a.rows)
			return err
		default:
			return fmt.Errorf("is damaged: a message of kind %d", kind)
		}
	}
}

// addDictionary reads the values that a column's indices stand for, or more of them.
func (a *arrowRows) addDictionary(header flatbuf.Table, body []byte) error {
	// DictionaryBatch: 0 id, 1 data, 2 is a delta
	id := header.GetInt64Slot(flatbuf.Slot(0), 0)
	field := dictionaryField(a.fields, id)
	if field == nil {
		return nil
	}
	batch := header.Child(1)
	l := arrowLoader{batch: batch, body: body, codec: &a.codec, dictionaries: a.dictionaries}
	values, err := l.load([]*arrowField{field}, batch.GetInt64Slot(flatbuf.Slot(0), 0))
	if err != nil {
		return err
	}
	if !header.GetBoolSlot(flatbuf.Slot(2), false) {
		a.dictionaries[id] = nil
	}
	a.dictionaries[id] = append(a.dictionaries[id], values[0])
	return nil
}

func (a *arrowRows) next(b *Block) error {
	w := &rowJSON{buf: make([]byte, 0, blockSize+blockSize/8)}
	var ends []int
	for int64(len(w.buf)) < blockSize && len(ends) < maxBlockRows {
		if a.at == a.rows {
			if err := a.nextBatch(0); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			continue
		}
		at := int(a.at)
		a.at++
		a.row++
		b.add(w, a.row, func() { w.object(a.names, func(i int) bool { return a.batch[i].write(w, at) }) })
		ends = append(ends, len(w.buf))
	}
	if len(ends) == 0 {
		return io.EOF
	}
	b.cut(w.buf, ends)
	b.Next = Position{Offset: a.row, Line: a.row}
	return nil
}

func (a *arrowRows) read() int64 { return a.in.read() }

func (a *arrowRows) Close() error {
	a.codec.close()
	return a.in.Close()
}

func openArrowBytes(ctx context.Context, file File) (arrowBytes, error) {
	if file.Compression != "" {
		s, err := openStream(ctx, file.Path, file.Compression)
		return &streamed{stream: s}, err
	}
	f, err := openRegular(file.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := syscall.Mmap(int(f.Fd()), 0, int(file.Size), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	debug.SetPanicOnFault(true) // of this goroutine: a file that is cut while it is read
	return &mapped{data: data}, nil
}

// mapped is a file that is mapped into memory, so that a batch takes none.
type mapped struct {
	data []byte
	at   int64
}

func (m *mapped) take(n int64) ([]byte, error) {
	left := int64(len(m.data)) - m.at
	if left == 0 && n > 0 {
		return nil, io.EOF
	}
	if n > left {
		return nil, io.ErrUnexpectedEOF
	}
	m.at += n
	return m.data[m.at-n : m.at : m.at], nil
}

func (m *mapped) rest(int64) ([]byte, error) { return m.data[m.at:], nil }

func (m *mapped) read() int64  { return m.at }
func (m *mapped) Close() error { return syscall.Munmap(m.data) }

// streamed is a file behind a compression.
type streamed struct {
	*stream
}

func (s *streamed) take(n int64) ([]byte, error) {
	if n > maxArrowBody {
		return nil, fmt.Errorf("a batch of %d MB (at most %d are read): write the file with smaller batches, or without %s around it",
			n>>20, maxArrowBody>>20, "gzip or zstd")
	}
	return readFull(s.stream, n)
}

func (s *streamed) rest(most int64) ([]byte, error) {
	return io.ReadAll(io.LimitReader(s.stream, most+1))
}

func (s *streamed) read() int64 { return s.consumed }

// readFull reads n bytes, without trusting that there are as many.
func readFull(r io.Reader, n int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, n))
	if err == nil && int64(len(data)) < n {
		if err = io.ErrUnexpectedEOF; len(data) == 0 {
			err = io.EOF
		}
	}
	return data, err
}
