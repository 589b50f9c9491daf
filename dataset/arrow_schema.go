package dataset

import (
	"fmt"

	"so8t/dataset/flatbuf"
)

// The numbers of Schema.fbs's union Type that occur here.
const (
	typeInt  = 2
	typeUtf8 = 5
	typeBool = 6
	typeList = 12
)

// readSchema compares the columns with those that Split writes, or wrote in earlier formats, and returns the metadata and the
// number of columns.
func readSchema(schema flatbuf.Table) (metadata map[string]string, columnCount int, err error) {
	// Schema: 0 endianness, 1 fields, 2 custom metadata
	if schema.GetInt16Slot(flatbuf.Slot(0), 0) != 0 {
		return nil, 0, fmt.Errorf("%w: big-endian", errNotSamples)
	}
	fields := schema.Tables(1)
	if len(fields) != len(columns) && len(fields) != columnsOfFormat1 && len(fields) != columnsOfFormat2 {
		return nil, 0, fmt.Errorf("%w: %d columns, not %d", errNotSamples, len(fields), len(columns))
	}
	for i, want := range columns[:len(fields)] {
		// Field: 0 name, 1 nullable, 2 type's number, 3 type, 4 dictionary, 5 children
		if name, form := fields[i].Text(0), typeOf(fields[i]); name != want.Name || form != want.Type.Name() {
			return nil, 0, fmt.Errorf("%w: column %d is %q %s, not %q %s",
				errNotSamples, i, name, form, want.Name, want.Type.Name())
		}
		if children := fields[i].Tables(5); want.Type.Name() == "list" && (len(children) != 1 || typeOf(children[0]) != "int32") {
			return nil, 0, fmt.Errorf("%w: column %d is no list of int32", errNotSamples, i)
		}
	}
	metadata = map[string]string{}
	read := 0
	for _, entry := range schema.Tables(2) {
		key, value := entry.Text(0), entry.Text(1)
		metadata[key] = value
		if read += len(key) + len(value); read > len(schema.Bytes) { // entries may share one long text
			return nil, 0, fmt.Errorf("%w: its metadata is longer than the footer that holds it", errNotSamples)
		}
	}
	return metadata, len(fields), nil
}

// typeOf is a field's type as arrow.DataType.Name has it, for the types that occur here.
func typeOf(field flatbuf.Table) string {
	if field.Has(4) {
		return "dictionary"
	}
	switch kind := field.GetByteSlot(flatbuf.Slot(2), 0); kind {
	case typeInt: // Int: 0 bit width, 1 signed
		form := field.Child(3)
		if signed := form.GetBoolSlot(flatbuf.Slot(1), false); signed {
			return fmt.Sprintf("int%d", form.GetInt32Slot(flatbuf.Slot(0), 0))
		}
		return fmt.Sprintf("uint%d", form.GetInt32Slot(flatbuf.Slot(0), 0))
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
