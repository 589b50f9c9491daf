package source

import (
	"fmt"
	"strings"

	"so8t/dataset/flatbuf"
)

// arrowField is a field of a schema.
type arrowField struct {
	name     string
	kind     byte // of Schema.fbs's union Type
	bits     int  // of a number
	signed   bool
	unit     int64 // parts of a second
	zoned    bool  // a timestamp with a time zone
	scale    int   // of a decimal
	size     int   // of a list or of bytes of a fixed size
	children []*arrowField
	names    [][]byte // of children, as rowJSON.object wants them

	indexed bool // its column holds indices of a dictionary
	id      int64
	index   *arrowField
	value   *arrowField // what the dictionary holds
}

// The numbers of Schema.fbs's union Type.
const (
	arrowNull            = 1
	arrowInt             = 2
	arrowFloat           = 3
	arrowBinary          = 4
	arrowUtf8            = 5
	arrowBool            = 6
	arrowDecimal         = 7
	arrowDate            = 8
	arrowTime            = 9
	arrowTimestamp       = 10
	arrowList            = 12
	arrowStruct          = 13
	arrowFixedSizeBinary = 15
	arrowFixedSizeList   = 16
	arrowMap             = 17
	arrowLargeBinary     = 19
	arrowLargeUtf8       = 20
	arrowLargeList       = 21
	arrowBinaryView      = 23
	arrowUtf8View        = 24
)

// schemaReader reads a schema that may be hostile: tables may share children, and names.
type schemaReader struct{ fields, bytes int } // that may still come

func readArrowSchema(schema flatbuf.Table) ([]*arrowField, error) {
	// Schema: 0 endianness, 1 fields
	if schema.GetInt16Slot(flatbuf.Slot(0), 0) != 0 {
		return nil, fmt.Errorf("is big-endian Arrow, which is not read")
	}
	r := schemaReader{fields: maxFields, bytes: len(schema.Bytes)}
	return r.list(schema.Tables(1), 0)
}

func (r *schemaReader) list(tables []flatbuf.Table, depth int) (fields []*arrowField, err error) {
	if r.fields -= len(tables); r.fields < 0 || depth > maxDepth {
		return nil, fmt.Errorf("is damaged, or has more than %d fields", maxFields)
	}
	for _, t := range tables {
		f, err := r.field(t, depth)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// field reads a Field: 0 name, 1 nullable, 2 type's number, 3 type, 4 dictionary, 5 children.
func (r *schemaReader) field(t flatbuf.Table, depth int) (f *arrowField, err error) {
	f = &arrowField{name: strings.Clone(t.Text(0)), kind: t.GetByteSlot(flatbuf.Slot(2), 0)}
	if r.bytes -= len(f.name); r.bytes < 0 {
		return nil, fmt.Errorf("is damaged: its names are longer than its header")
	}
	if f.children, err = r.list(t.Tables(5), depth+1); err != nil {
		return nil, err
	}
	for _, c := range f.children {
		f.names = append(f.names, memberName(c.name))
	}
	if err := f.readType(t.Child(3)); err != nil {
		return nil, err
	}
	if !t.Has(4) {
		return f, nil
	}
	// DictionaryEncoding: 0 id, 1 type of the indices
	d := t.Child(4)
	index := &arrowField{kind: arrowInt, bits: 32, signed: true}
	if d.Has(1) {
		if err := index.readType(d.Child(1)); err != nil {
			return nil, err
		}
	}
	return &arrowField{name: f.name, indexed: true, id: d.GetInt64Slot(flatbuf.Slot(0), 0), index: index, value: f}, nil
}

// readType reads what a field's kind says besides.
func (f *arrowField) readType(t flatbuf.Table) error {
	want := 0 // children
	switch f.kind {
	case arrowInt: // 0 bits, 1 signed
		f.bits, f.signed = int(t.GetInt32Slot(flatbuf.Slot(0), 0)), t.GetBoolSlot(flatbuf.Slot(1), false)
	case arrowFloat: // 0 precision
		f.bits = 16 << (t.GetInt16Slot(flatbuf.Slot(0), 0) & 3)
	case arrowDecimal: // 0 precision, 1 scale, 2 bits
		f.scale, f.bits = int(t.GetInt32Slot(flatbuf.Slot(1), 0)), int(t.GetInt32Slot(flatbuf.Slot(2), 128))
	case arrowDate: // 0 unit: days or milliseconds
		f.bits = 32 << (t.GetInt16Slot(flatbuf.Slot(0), 1) & 1)
	case arrowTime: // 0 unit, 1 bits
		f.unit, f.bits = arrowUnit(t.GetInt16Slot(flatbuf.Slot(0), 1)), int(t.GetInt32Slot(flatbuf.Slot(1), 32))
	case arrowTimestamp: // 0 unit, 1 time zone
		f.unit, f.bits, f.zoned = arrowUnit(t.GetInt16Slot(flatbuf.Slot(0), 0)), 64, t.Has(1)
	case arrowFixedSizeBinary: // 0 bytes
		f.size = int(t.GetInt32Slot(flatbuf.Slot(0), 0))
	case arrowFixedSizeList: // 0 elements
		f.size, want = int(t.GetInt32Slot(flatbuf.Slot(0), 0)), 1
	case arrowList, arrowLargeList, arrowMap:
		want = 1
	case arrowStruct:
		want = len(f.children)
	case arrowNull, arrowBool, arrowUtf8, arrowLargeUtf8, arrowUtf8View, arrowBinary, arrowLargeBinary, arrowBinaryView:
	default:
		return fmt.Errorf("column %.60q is of Arrow's type number %d, which is not read: write the file without it", f.name, f.kind)
	}
	whole := f.bits == 0 || f.bits%8 == 0 && f.bits <= 256
	if !whole || f.size < 0 || len(f.children) != want || f.kind == arrowMap && len(f.children[0].children) != 2 {
		return fmt.Errorf("is damaged: column %.60q", f.name)
	}
	return nil
}

// arrowUnit is the number of a unit in a second.
func arrowUnit(unit int16) int64 { return [...]int64{1, 1e3, 1e6, 1e9}[unit&3] }

// dictionaryField finds what a dictionary's values are.
func dictionaryField(fields []*arrowField, id int64) *arrowField {
	for _, f := range fields {
		children := f.children
		if f.indexed {
			if f.id == id {
				return f.value
			}
			children = f.value.children
		}
		if found := dictionaryField(children, id); found != nil {
			return found
		}
	}
	return nil
}
