// Package flatbuf reads flatbuffers tables that may be hostile: a wrong offset panics, as an index out of range does, and
// every count is checked against the bytes there are.
package flatbuf

import (
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Table is a flatbuffers table. Fields are numbered from 0, as in the schema (.fbs).
type Table struct{ flatbuffers.Table }

// Root is the table that data begins with.
func Root(data []byte) Table {
	return Table{flatbuffers.Table{Bytes: data, Pos: flatbuffers.GetUOffsetT(data)}}
}

// Slot is the vtable offset of a field.
func Slot(field int) flatbuffers.VOffsetT { return flatbuffers.VOffsetT(4 + 2*field) }

// Has reports whether a field is set.
func (t Table) Has(field int) bool { return t.Offset(Slot(field)) != 0 }

// Child is the table in a field. It panics where there is none.
func (t Table) Child(field int) Table {
	o := t.Offset(Slot(field))
	if o == 0 {
		panic(fmt.Sprintf("field %d is missing", field))
	}
	return t.at(flatbuffers.UOffsetT(o) + t.Pos)
}

// at is the table that the offset at pos leads to.
func (t Table) at(pos flatbuffers.UOffsetT) Table {
	return Table{flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(pos)}}
}

// Text is the string in a field, empty where there is none.
func (t Table) Text(field int) string {
	o := t.Offset(Slot(field))
	if o == 0 {
		return ""
	}
	return t.String(flatbuffers.UOffsetT(o) + t.Pos)
}

// Structs is the vector of structs of size bytes in a field.
func (t Table) Structs(field, size int) (data []byte, count int) {
	o := flatbuffers.UOffsetT(t.Offset(Slot(field)))
	if o == 0 {
		return nil, 0
	}
	start, count := int(t.Vector(o)), t.VectorLen(o)
	if count < 0 || count > (len(t.Bytes)-start)/size {
		panic(fmt.Sprintf("vector of %d entries does not fit", count))
	}
	return t.Bytes[start : start+count*size], count
}

// Tables is the vector of tables in a field.
func (t Table) Tables(field int) []Table {
	const size = 4 // an offset
	_, count := t.Structs(field, size)
	list := make([]Table, count)
	for i := range list {
		start := t.Vector(flatbuffers.UOffsetT(t.Offset(Slot(field))))
		list[i] = t.at(start + flatbuffers.UOffsetT(size*i))
	}
	return list
}
