package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Kinds of values in Thrift's compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

// thriftWalk skips a value in Thrift's compact protocol and bounds its depth and the number of its objects, because the
// decoder of the Parquet library bounds neither.
type thriftWalk struct {
	data    []byte
	at      int
	objects int // that may still come
}

const maxThriftDepth = 32

// walkThrift returns the length of the struct that data begins with. io.ErrUnexpectedEOF means that it goes on.
func walkThrift(data []byte) (length int, err error) {
	w := &thriftWalk{data: data, objects: 1024 + len(data)/8}
	err = w.object(0)
	return w.at, err
}

var errThrift = errors.New("its metadata is damaged")

func (w *thriftWalk) skip(n uint64) error {
	if n > uint64(len(w.data)-w.at) {
		return io.ErrUnexpectedEOF
	}
	w.at += int(n)
	return nil
}

func (w *thriftWalk) varint() (uint64, error) {
	v, n := binary.Uvarint(w.data[w.at:])
	if n < 0 {
		return 0, errThrift
	}
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	w.at += n
	return v, nil
}

func (w *thriftWalk) byte() (byte, error) {
	if w.at == len(w.data) {
		return 0, io.ErrUnexpectedEOF
	}
	w.at++
	return w.data[w.at-1], nil
}

// object passes over the fields of a struct.
func (w *thriftWalk) object(depth int) error {
	if w.objects--; depth > maxThriftDepth || w.objects < 0 {
		return fmt.Errorf("%w: it is nested too deep, or too large", errThrift)
	}
	for {
		head, err := w.byte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the field's number follows
			if _, err := w.varint(); err != nil {
				return err
			}
		}
		if kind := head & 15; kind != thriftTrue && kind != thriftFalse {
			if err := w.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
}

func (w *thriftWalk) value(kind byte, depth int) error {
	switch {
	case kind == thriftTrue || kind == thriftFalse || kind == thriftByte:
		return w.skip(1)
	case kind > thriftByte && kind <= thriftI64:
		_, err := w.varint()
		return err
	case kind == thriftDouble:
		return w.skip(8)
	case kind == thriftBinary:
		n, err := w.varint()
		return errors.Join(err, w.skip(n))
	case kind == thriftList || kind == thriftSet:
		return w.list(depth)
	case kind == thriftStruct:
		return w.object(depth)
	}
	return errThrift // Parquet has no maps
}

func (w *thriftWalk) list(depth int) error {
	head, err := w.byte()
	if err != nil {
		return err
	}
	count, kind := uint64(head>>4), head&15
	if count == 15 {
		if count, err = w.varint(); err != nil {
			return err
		}
	}
	// An element takes a byte at the least; a struct or a list among them is an object.
	if count > uint64(len(w.data)-w.at) {
		return io.ErrUnexpectedEOF
	}
	if kind >= thriftList && kind != thriftStruct {
		if w.objects -= int(count); w.objects < 0 || depth > maxThriftDepth {
			return errThrift
		}
	}
	for range count {
		if err := w.value(kind, depth+1); err != nil {
			return err
		}
	}
	return nil
}
