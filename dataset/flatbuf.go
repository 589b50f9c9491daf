package dataset

import (
	"encoding/binary"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"
)

// fbTable is a flatbuffers table with the few accessors that the Arrow reader needs. A wrong offset
// in it panics, which read turns into an error; every count is checked against the bytes available.
type fbTable struct{ flatbuffers.Table }

func table(data []byte) fbTable {
	return fbTable{flatbuffers.Table{Bytes: data, Pos: flatbuffers.GetUOffsetT(data)}}
}

// slot is the vtable offset of a field.
func slot(field int) flatbuffers.VOffsetT { return flatbuffers.VOffsetT(4 + 2*field) }

func (t fbTable) child(field int) fbTable {
	o := t.Offset(slot(field))
	if o == 0 {
		panic(fmt.Sprintf("field %d is missing", field))
	}
	return t.at(flatbuffers.UOffsetT(o) + t.Pos)
}

// at is the table that the offset at pos leads to.
func (t fbTable) at(pos flatbuffers.UOffsetT) fbTable {
	return fbTable{flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(pos)}}
}

func (t fbTable) text(field int) string {
	o := t.Offset(slot(field))
	if o == 0 {
		return ""
	}
	return t.String(flatbuffers.UOffsetT(o) + t.Pos)
}

// structs is a vector of structs of size bytes.
func (t fbTable) structs(field, size int) (data []byte, count int) {
	o := flatbuffers.UOffsetT(t.Offset(slot(field)))
	if o == 0 {
		return nil, 0
	}
	start, count := int(t.Vector(o)), t.VectorLen(o)
	if count < 0 || count > (len(t.Bytes)-start)/size {
		panic(fmt.Sprintf("vector of %d entries does not fit", count))
	}
	return t.Bytes[start : start+count*size], count
}

// tables is a vector of tables.
func (t fbTable) tables(field int) []fbTable {
	const size = 4 // an offset
	_, count := t.structs(field, size)
	list := make([]fbTable, count)
	for i := range list {
		start := t.Vector(flatbuffers.UOffsetT(t.Offset(slot(field))))
		list[i] = t.at(start + flatbuffers.UOffsetT(size*i))
	}
	return list
}

func int64At(b []byte, at int) int64 { return int64(binary.LittleEndian.Uint64(b[at:])) }

// The numbers of Schema.fbs's union Type that occur here.
const (
	typeInt  = 2
	typeUtf8 = 5
	typeBool = 6
	typeList = 12
)

// readSchema compares the columns with those that Split writes, or wrote in earlier formats, and returns the metadata and the
// number of columns.
func readSchema(schema fbTable) (metadata map[string]string, columnCount int, err error) {
	// Schema: 0 endianness, 1 fields, 2 custom metadata
	if schema.GetInt16Slot(slot(0), 0) != 0 {
		return nil, 0, fmt.Errorf("%w: big-endian", errNotSamples)
	}
	fields := schema.tables(1)
	if len(fields) != len(columns) && len(fields) != columnsOfFormat1 && len(fields) != columnsOfFormat2 {
		return nil, 0, fmt.Errorf("%w: %d columns, not %d", errNotSamples, len(fields), len(columns))
	}
	for i, want := range columns[:len(fields)] {
		// Field: 0 name, 1 nullable, 2 type's number, 3 type, 4 dictionary, 5 children
		if name, form := fields[i].text(0), typeOf(fields[i]); name != want.Name || form != want.Type.Name() {
			return nil, 0, fmt.Errorf("%w: column %d is %q %s, not %q %s",
				errNotSamples, i, name, form, want.Name, want.Type.Name())
		}
		if children := fields[i].tables(5); want.Type.Name() == "list" && (len(children) != 1 || typeOf(children[0]) != "int32") {
			return nil, 0, fmt.Errorf("%w: column %d is no list of int32", errNotSamples, i)
		}
	}
	metadata = map[string]string{}
	read := 0
	for _, entry := range schema.tables(2) {
		key, value := entry.text(0), entry.text(1)
		metadata[key] = value
		if read += len(key) + len(value); read > len(schema.Bytes) { // entries may share one long text
			return nil, 0, fmt.Errorf("%w: its metadata is longer than the footer that holds it", errNotSamples)
		}
	}
	return metadata, len(fields), nil
}

// typeOf is a field's type as arrow.DataType.Name has it, for the types that occur here.
func typeOf(field fbTable) string {
	if field.Offset(slot(4)) != 0 {
		return "dictionary"
	}
	switch kind := field.GetByteSlot(slot(2), 0); kind {
	case typeInt: // Int: 0 bit width, 1 signed
		form := field.child(3)
		if signed := form.GetBoolSlot(slot(1), false); signed {
			return fmt.Sprintf("int%d", form.GetInt32Slot(slot(0), 0))
		}
		return fmt.Sprintf("uint%d", form.GetInt32Slot(slot(0), 0))
	case typeUtf8:
		return "utf8"
	case typeBool:
		return "bool"
	case typeList:
		return "list"
	default:
		return fmt.Sprintf("type %d", kind)
	}
}
