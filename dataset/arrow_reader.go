package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"so8t/dataset/flatbuf"
)

// Arrow's own file reader copies every buffer, and on damaged metadata it can exhaust memory. This one walks
// footer → record batches → buffers of the Arrow IPC file format (format/File.fbs, Message.fbs) and points into the mapping.

// batch is one record batch: views on the mapping.
type batch struct {
	ids, labels           lists
	label, domain, digest texts
	line                  []int64
	prompt                []int32 // prompt_length; nil in files of format 1
	file                  []int32 // source_file; nil in files of formats 1 and 2
	near                  []byte  // near_duplicate, a bit a row; nil as file
	rows                  int
}

// promptLength of a row. Format 1 does not store it: there the answer begins at the first labelled token.
func (b *batch) promptLength(row int) int {
	if b.prompt != nil {
		return int(b.prompt[row])
	}
	labels := b.labels.at(row)
	if first := slices.IndexFunc(labels, func(l int32) bool { return l != ignored }); first >= 0 {
		return first
	}
	return len(labels)
}

// lists is a column list<int32>: row i is values[offsets[i]:offsets[i+1]].
type lists struct{ offsets, values []int32 }

func (l lists) at(i int) []int32 { return l.values[l.offsets[i]:l.offsets[i+1]:l.offsets[i+1]] }

// texts is a column utf8.
type texts struct {
	offsets []int32
	bytes   []byte
}

func (t texts) at(i int) string { return string(t.bytes[t.offsets[i]:t.offsets[i+1]]) }

const recordBatch = 3 // MessageHeader.RecordBatch

var errNotSamples = errors.New("not an Arrow file of samples")

// read parses and checks a file's contents. Flatbuffers check nothing themselves: a wrong offset
// in damaged metadata panics, which is turned into an error here.
func read(file []byte) (s *Samples, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("damaged Arrow metadata: %v", r)
		}
	}()
	const magic = "ARROW1"
	if len(file) < 2*len(magic)+6 || string(file[:len(magic)]) != magic || string(file[len(file)-len(magic):]) != magic {
		return nil, fmt.Errorf("%w: it does not begin and end with %s", errNotSamples, magic)
	}
	tail := len(file) - len(magic) - 4
	size := int(binary.LittleEndian.Uint32(file[tail:]))
	if size > tail-len(magic) {
		return nil, fmt.Errorf("%w: a footer of %d bytes does not fit", errNotSamples, size)
	}
	footer := flatbuf.Root(file[tail-size : tail])
	// Footer: 0 version, 1 schema, 2 dictionaries, 3 recordBatches [struct Block: 24 bytes]
	s = &Samples{}
	var columns int
	if s.metadata, columns, err = readSchema(footer.Child(1)); err != nil {
		return nil, err
	}
	blocks, count := footer.Structs(3, 24)
	end := int64(0) // of the previous batch: batches may not overlap, else a small file could claim millions of samples
	for i := range count {
		block := blocks[24*i:]
		offset, meta, body := int64At(block, 0), int64(int32(binary.LittleEndian.Uint32(block[8:]))), int64At(block, 16)
		if offset < 0 || meta < 8 || body < 0 || offset > int64(tail) || meta > int64(tail)-offset || body > int64(tail)-offset-meta {
			return nil, fmt.Errorf("record batch %d: lies outside the file", i)
		}
		if offset < end {
			return nil, fmt.Errorf("record batch %d: begins at byte %d, the one before ends at %d", i, offset, end)
		}
		end = offset + meta + body
		b, err := readBatch(file[offset:offset+meta], file[offset+meta:offset+meta+body], columns)
		if err != nil {
			return nil, fmt.Errorf("record batch %d: %w", i, err)
		}
		s.first = append(s.first, s.length)
		s.batches = append(s.batches, b)
		s.length += b.rows
	}
	return s, nil
}

// readBatch reads an encapsulated message: a continuation marker, the length of the metadata, the metadata.
func readBatch(meta, body []byte, columnCount int) (b batch, err error) {
	if binary.LittleEndian.Uint32(meta) != 0xFFFFFFFF {
		return b, errors.New("no continuation marker")
	}
	// Message: 0 version, 1 header type, 2 header, 3 body length
	message := flatbuf.Root(meta[8:])
	if kind := message.GetByteSlot(flatbuf.Slot(1), 0); kind != recordBatch {
		return b, fmt.Errorf("message of type %d is no record batch", kind)
	}
	// RecordBatch: 0 length, 1 nodes [FieldNode: length, nulls], 2 buffers [Buffer: offset, length], 3 compression
	header := message.Child(2)
	if header.Has(3) {
		return b, errors.New("compressed batches are not supported")
	}
	rows := header.GetInt64Slot(flatbuf.Slot(0), 0)
	if rows < 0 || rows > int64(len(body)) {
		return b, fmt.Errorf("%d rows in %d bytes", rows, len(body))
	}
	b.rows = int(rows)
	nodes, nodeCount := header.Structs(1, 16)
	for i := range nodeCount {
		if nulls := int64At(nodes[16*i:], 8); nulls != 0 {
			return b, fmt.Errorf("column node %d has %d nulls", i, nulls)
		}
	}
	c := bufferCursor{body: body}
	c.buffers, c.count = header.Structs(2, 16)
	b.ids, b.labels = c.lists(b.rows), c.lists(b.rows)
	b.label, b.domain = c.texts(b.rows), c.texts(b.rows)
	c.next() // validity: nulls are excluded above
	b.line = view[int64](&c, c.next(), b.rows)
	b.digest = c.texts(b.rows)
	if columnCount > columnsOfFormat1 {
		c.next() // validity
		b.prompt = view[int32](&c, c.next(), b.rows)
	}
	if columnCount > columnsOfFormat2 {
		c.next() // validity
		b.file = view[int32](&c, c.next(), b.rows)
		c.next() // validity
		if b.near = c.next(); len(b.near) < (b.rows+7)/8 {
			c.fail("%d bytes for %d bits", len(b.near), b.rows)
		}
	}
	if c.err != nil {
		return b, c.err
	}
	return b, b.check()
}

// check refuses rows whose columns contradict each other.
func (b *batch) check() error {
	for i := range b.rows {
		if len(b.ids.at(i)) != len(b.labels.at(i)) {
			return fmt.Errorf("row %d: %d input_ids, %d labels", i, len(b.ids.at(i)), len(b.labels.at(i)))
		}
		if n := b.promptLength(i); n < 0 || n > len(b.ids.at(i)) {
			return fmt.Errorf("row %d: a prompt of %d of %d tokens", i, n, len(b.ids.at(i)))
		}
	}
	return nil
}

func int64At(b []byte, at int) int64 { return int64(binary.LittleEndian.Uint64(b[at:])) }

// bufferCursor returns a batch's buffers in the order of the columns, and remembers its first error.
type bufferCursor struct {
	buffers []byte
	count   int
	used    int
	body    []byte
	err     error
}

func (c *bufferCursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("buffer %d: "+format, append([]any{c.used - 1}, args...)...)
	}
}

func (c *bufferCursor) next() []byte {
	c.used++
	if c.used > c.count {
		c.fail("missing")
		return nil
	}
	entry := c.buffers[16*(c.used-1):]
	offset, length := int64At(entry, 0), int64At(entry, 8)
	if offset < 0 || length < 0 || offset > int64(len(c.body)) || length > int64(len(c.body))-offset {
		c.fail("lies outside the batch")
		return nil
	}
	return c.body[offset : offset+length]
}

// view reinterprets a buffer as numbers; every supported machine is little-endian. rows < 0: as many as fit.
func view[T int32 | int64](c *bufferCursor, data []byte, rows int) []T {
	size := int(unsafe.Sizeof(T(0)))
	if rows < 0 {
		rows = len(data) / size
	}
	if len(data)/size < rows {
		c.fail("%d bytes for %d numbers", len(data), rows)
		return nil
	}
	if rows == 0 {
		return nil
	}
	start := unsafe.Pointer(unsafe.SliceData(data))
	if uintptr(start)%uintptr(size) != 0 {
		c.fail("is not aligned")
		return nil
	}
	return unsafe.Slice((*T)(start), rows)
}

// offsets reads rows+1 offsets and checks that they do not decrease.
func (c *bufferCursor) offsets(rows int) []int32 {
	c.next() // validity
	offsets := view[int32](c, c.next(), rows+1)
	if len(offsets) > 0 && offsets[0] < 0 {
		c.fail("begins below zero")
	}
	for i := 1; i < len(offsets); i++ {
		if offsets[i] < offsets[i-1] {
			c.fail("falls at row %d", i-1)
			break
		}
	}
	return offsets
}

func (c *bufferCursor) lists(rows int) (l lists) {
	l.offsets = c.offsets(rows)
	c.next() // validity of the values
	l.values = view[int32](c, c.next(), -1)
	c.within(l.offsets, len(l.values))
	return l
}

func (c *bufferCursor) texts(rows int) (t texts) {
	t.offsets = c.offsets(rows)
	t.bytes = c.next()
	c.within(t.offsets, len(t.bytes))
	return t
}

func (c *bufferCursor) within(offsets []int32, limit int) {
	if len(offsets) > 0 && int(offsets[len(offsets)-1]) > limit {
		c.fail("holds %d entries, its offsets go up to %d", limit, offsets[len(offsets)-1])
	}
}
