package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"so8t/dataset/flatbuf"
)

// arrowArray is a column of a batch. A wrong offset in it panics, as any index out of range.
type arrowArray struct {
	*arrowField
	length   int
	validity []byte // a bit a row; none: every row has a value
	offsets  []byte
	data     []byte
	views    [][]byte // further data
	children []*arrowArray
	values   []*arrowArray // of its dictionary
}

// arrowLoader finds the columns in a batch's body.
type arrowLoader struct {
	batch        flatbuf.Table // RecordBatch: 0 rows, 1 nodes, 2 buffers, 3 compression, 4 variadic counts
	body         []byte
	codec        *arrowCodec
	dictionaries map[int64][]*arrowArray

	nodes, buffers, counts []byte // that are left
	compressed             bool
	left                   int64 // bytes that may still be decompressed
}

func (l *arrowLoader) load(fields []*arrowField, rows int64) (columns []*arrowArray, err error) {
	l.nodes, _ = l.batch.Structs(1, 16)
	l.buffers, _ = l.batch.Structs(2, 16)
	l.counts, _ = l.batch.Structs(4, 8)
	l.left = maxArrowBody
	if l.compressed = l.batch.Has(3); l.compressed {
		c := l.batch.Child(3)
		l.codec.kind = c.GetByteSlot(flatbuf.Slot(0), 0)
	}
	for _, f := range fields {
		c, err := l.array(f)
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, nil
}

func (l *arrowLoader) array(f *arrowField) (*arrowArray, error) {
	a := &arrowArray{arrowField: f, length: int(binary.LittleEndian.Uint64(l.nodes))}
	l.nodes = l.nodes[16:]
	layout := f
	if f.indexed {
		layout, a.values = f.index, l.dictionaries[f.id]
	}
	var err error
	buffer := func(to *[]byte) {
		if err == nil {
			*to, err = l.buffer()
		}
	}
	switch layout.kind {
	case arrowNull:
		return a, nil
	case arrowUtf8, arrowLargeUtf8, arrowBinary, arrowLargeBinary:
		buffer(&a.validity)
		buffer(&a.offsets)
		buffer(&a.data)
	case arrowUtf8View, arrowBinaryView:
		buffer(&a.validity)
		buffer(&a.data)
		count := int64(binary.LittleEndian.Uint64(l.counts))
		l.counts = l.counts[8:]
		for i := int64(0); i < count && err == nil; i++ {
			a.views = append(a.views, nil)
			buffer(&a.views[i])
		}
	case arrowList, arrowLargeList, arrowMap:
		buffer(&a.validity)
		buffer(&a.offsets)
	case arrowStruct, arrowFixedSizeList:
		buffer(&a.validity)
	default:
		buffer(&a.validity)
		buffer(&a.data)
	}
	for _, c := range layout.children {
		if err != nil {
			return nil, err
		}
		var child *arrowArray
		child, err = l.array(c)
		a.children = append(a.children, child)
	}
	return a, err
}

// buffer is the next buffer of the body.
func (l *arrowLoader) buffer() ([]byte, error) {
	offset, length := binary.LittleEndian.Uint64(l.buffers), binary.LittleEndian.Uint64(l.buffers[8:])
	l.buffers = l.buffers[16:]
	if offset > uint64(len(l.body)) || length > uint64(len(l.body))-offset {
		return nil, errors.New("is damaged: a buffer outside of its batch")
	}
	data := l.body[offset : offset+length]
	if !l.compressed || length == 0 {
		return data, nil
	}
	size := int64(binary.LittleEndian.Uint64(data))
	if data = data[8:]; size == -1 {
		return data, nil
	}
	if l.left -= size; size < 0 || l.left < 0 {
		return nil, fmt.Errorf("a batch of more than %d MB: write the file with smaller batches", maxArrowBody>>20)
	}
	return l.codec.decompress(data, size)
}

// arrowCodec decompresses buffers.
type arrowCodec struct {
	kind byte // of Message.fbs's CompressionType: LZ4_FRAME, ZSTD
	zstd *zstd.Decoder
	lz4  *lz4.Reader
}

func (c *arrowCodec) decompress(data []byte, size int64) (_ []byte, err error) {
	var r io.Reader
	switch c.kind {
	case 0:
		if c.lz4 == nil {
			c.lz4 = lz4.NewReader(nil)
		}
		c.lz4.Reset(bytes.NewReader(data))
		r = c.lz4
	case 1:
		if c.zstd == nil {
			if c.zstd, err = newZstd(nil); err != nil {
				return nil, err
			}
		}
		if err := c.zstd.Reset(bytes.NewReader(data)); err != nil {
			return nil, err
		}
		r = c.zstd
	default:
		return nil, fmt.Errorf("the Arrow compression number %d is not read", c.kind)
	}
	return readFull(r, size)
}

func (c *arrowCodec) close() {
	if c.zstd != nil {
		c.zstd.Close()
	}
}

// offset is a boundary of a text or a list.
func (a *arrowArray) offset(i int) int {
	switch a.kind {
	case arrowLargeUtf8, arrowLargeBinary, arrowLargeList:
		return int(binary.LittleEndian.Uint64(a.offsets[8*i:]))
	}
	return int(binary.LittleEndian.Uint32(a.offsets[4*i:]))
}

// bytes is a value that is text or bytes.
func (a *arrowArray) bytes(i int) []byte {
	switch a.kind {
	case arrowFixedSizeBinary:
		return a.data[i*a.size : (i+1)*a.size]
	case arrowUtf8View, arrowBinaryView: // 4 bytes of length; 12 of text, or 4 of its beginning, 4 its buffer, 4 its place there
		view := a.data[16*i : 16*i+16]
		length := int(binary.LittleEndian.Uint32(view))
		if length <= 12 {
			return view[4 : 4+length]
		}
		at := int(binary.LittleEndian.Uint32(view[12:]))
		return a.views[binary.LittleEndian.Uint32(view[8:])][at : at+length]
	}
	return a.data[a.offset(i):a.offset(i+1)]
}

// number is an integer of a column.
func number(data []byte, i, bits int, signed bool) int64 {
	switch bits {
	case 8:
		if v := data[i]; !signed {
			return int64(v)
		} else {
			return int64(int8(v))
		}
	case 16:
		if v := binary.LittleEndian.Uint16(data[2*i:]); !signed {
			return int64(v)
		} else {
			return int64(int16(v))
		}
	case 32:
		if v := binary.LittleEndian.Uint32(data[4*i:]); !signed {
			return int64(v)
		} else {
			return int64(int32(v))
		}
	}
	return int64(binary.LittleEndian.Uint64(data[8*i:]))
}

// write writes a row's value, and reports whether it has one.
func (a *arrowArray) write(w *rowJSON, i int) bool {
	if len(a.validity) > 0 && a.validity[i/8]>>(i%8)&1 == 0 {
		return false
	}
	if a.indexed {
		at := int(number(a.data, i, a.index.bits, a.index.signed))
		for _, part := range a.values {
			if n := part.length; at < n {
				return part.write(w, at)
			} else {
				at -= n
			}
		}
		panic("an index outside of its dictionary")
	}
	switch a.kind {
	case arrowNull:
		return false
	case arrowUtf8, arrowLargeUtf8, arrowUtf8View:
		w.text(a.bytes(i))
	case arrowBinary, arrowLargeBinary, arrowBinaryView, arrowFixedSizeBinary:
		w.binary(a.bytes(i), a.name)
	case arrowList, arrowLargeList:
		a.writeList(w, a.offset(i), a.offset(i+1))
	case arrowFixedSizeList:
		a.writeList(w, i*a.size, (i+1)*a.size)
	case arrowMap:
		a.writePairs(w, a.offset(i), a.offset(i+1))
	case arrowStruct:
		w.object(a.names, func(c int) bool { return a.children[c].write(w, i) })
	default:
		a.writeNumber(w, i)
	}
	return true
}

func (a *arrowArray) writeList(w *rowJSON, from, to int) {
	w.raw("[")
	for i := from; i < to; i++ {
		if i > from {
			w.raw(",")
		}
		if !a.children[0].write(w, i) {
			w.raw("null")
		}
	}
	w.raw("]")
}

// writePairs writes a map as an object, whose keys are texts.
func (a *arrowArray) writePairs(w *rowJSON, from, to int) {
	key, value := a.children[0].children[0], a.children[0].children[1]
	w.raw("{")
	for i := from; i < to; i++ {
		if i > from {
			w.raw(",")
		}
		w.key(func() { key.write(w, i) })
		if !value.write(w, i) {
			w.raw("null")
		}
	}
	w.raw("}")
}

func (a *arrowArray) writeNumber(w *rowJSON, i int) {
	switch a.kind {
	case arrowBool:
		w.boolean(a.data[i/8]>>(i%8)&1 == 1)
	case arrowInt:
		if v := number(a.data, i, a.bits, a.signed); a.signed {
			w.integer(v)
		} else {
			w.unsigned(uint64(v))
		}
	case arrowFloat:
		switch a.bits {
		case 16:
			w.float(half(binary.LittleEndian.Uint16(a.data[2*i:])), 32)
		case 32:
			w.float(float64(math.Float32frombits(binary.LittleEndian.Uint32(a.data[4*i:]))), 32)
		default:
			w.float(math.Float64frombits(binary.LittleEndian.Uint64(a.data[8*i:])), 64)
		}
	case arrowTimestamp:
		w.time(timeOf(number(a.data, i, 64, true), a.unit), a.zoned)
	case arrowTime:
		w.timeOfDay(number(a.data, i, a.bits, true), a.unit)
	case arrowDate:
		days := number(a.data, i, a.bits, true)
		if a.bits == 64 { // milliseconds
			days /= 86400 * 1e3
		}
		w.date(days)
	case arrowDecimal:
		size := a.bits / 8
		big := slices.Clone(a.data[i*size : (i+1)*size])
		slices.Reverse(big)
		w.raw(decimal(big, a.scale))
	}
}

// half is a number of 16 bits.
func half(b uint16) float64 {
	exponent, fraction := int(b>>10&31), float64(b&1023)/1024
	v := math.Ldexp(1+fraction, exponent-15)
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -14)
	case 31:
		v = math.Inf(1)
		if fraction != 0 {
			v = math.NaN()
		}
	}
	if b&0x8000 != 0 {
		v = -v
	}
	return v
}

// decimal is a whole number in two's complement, its highest byte first, shifted by its scale.
func decimal(b []byte, scale int) string {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if scale <= 0 || scale > 100 {
		return n.String()
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	return new(big.Rat).SetFrac(n, power).FloatString(scale)
}
