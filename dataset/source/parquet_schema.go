package source

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// parquetField is a field of a schema, as rows are assembled by it from their columns.
type parquetField struct {
	name        string
	names       [][]byte // of children, as rowJSON.object wants them
	children    []*parquetField
	optional    bool
	repeated    bool
	list, pairs bool // a list, or a map, in the form of groups that Parquet has for them
	definition  int  // level from which on it has a value
	repetition  int
	first, last int // columns, half open

	element *format.SchemaElement
	logical format.LogicalTypeValue // nil where a column is no more than its values
}

// cursor is how far a column's values of a row have been taken.
type cursor struct {
	values []parquet.Value
	at     int
}

// newParquetSchema builds the tree of a schema's fields.
func newParquetSchema(elements []format.SchemaElement) (*parquetField, error) {
	if len(elements) == 0 || len(elements) > maxFields {
		return nil, fmt.Errorf("%w: %d fields", errThrift, len(elements))
	}
	b := schemaBuilder{elements: elements}
	root, err := b.field(nil, 0)
	if err == nil && (len(b.elements) > 0 || len(root.children) == 0 || root.optional || root.repeated) {
		err = fmt.Errorf("%w: its schema", errThrift)
	}
	return root, err
}

type schemaBuilder struct {
	elements []format.SchemaElement // that are left
	columns  int
}

func (b *schemaBuilder) field(parent *parquetField, depth int) (*parquetField, error) {
	if depth > maxDepth || len(b.elements) == 0 {
		return nil, fmt.Errorf("%w: its schema is cut off, or nested too deep", errThrift)
	}
	e := &b.elements[0]
	b.elements = b.elements[1:]
	f := &parquetField{name: e.Name, element: e, logical: logicalType(e), first: b.columns}
	if parent != nil {
		f.definition, f.repetition = parent.definition, parent.repetition
		f.optional = e.RepetitionType.Valid && e.RepetitionType.V == format.Optional
		f.repeated = e.RepetitionType.Valid && e.RepetitionType.V == format.Repeated
	}
	if f.optional || f.repeated {
		f.definition++
	}
	if f.repeated {
		f.repetition++
	}
	if e.Type.Valid {
		b.columns++
	}
	for range e.NumChildren.V {
		c, err := b.field(f, depth+1)
		if err != nil {
			return nil, err
		}
		f.children = append(f.children, c)
		f.names = append(f.names, memberName(c.name))
	}
	if f.last = b.columns; f.first == f.last || e.Type.Valid != (len(f.children) == 0) {
		return nil, fmt.Errorf("%w: a group without columns", errThrift)
	}
	f.recognise()
	return f, nil
}

// recognise tells the groups that stand for lists and maps.
func (f *parquetField) recognise() {
	if len(f.children) != 1 || !f.children[0].repeated {
		return
	}
	switch f.logical.(type) {
	case *format.ListType:
		f.list = true
	case *format.MapType:
		f.pairs = len(f.children[0].children) == 2
	}
}

// logicalType is an element's type, as old writers have it where there is no new one.
func logicalType(e *format.SchemaElement) format.LogicalTypeValue {
	if e.LogicalType.Value != nil || !e.ConvertedType.Valid {
		return e.LogicalType.Value
	}
	milliseconds, microseconds := format.TimeUnit{Value: &format.MilliSeconds{}}, format.TimeUnit{Value: &format.MicroSeconds{}}
	switch e.ConvertedType.V {
	case deprecated.UTF8:
		return &format.StringType{}
	case deprecated.Enum:
		return &format.EnumType{}
	case deprecated.Json:
		return &format.JsonType{}
	case deprecated.List:
		return &format.ListType{}
	case deprecated.Map, deprecated.MapKeyValue:
		return &format.MapType{}
	case deprecated.Decimal:
		return &format.DecimalType{Scale: e.Scale.V, Precision: e.Precision.V}
	case deprecated.Date:
		return &format.DateType{}
	case deprecated.TimeMillis:
		return &format.TimeType{IsAdjustedToUTC: true, Unit: milliseconds}
	case deprecated.TimeMicros:
		return &format.TimeType{IsAdjustedToUTC: true, Unit: microseconds}
	case deprecated.TimestampMillis:
		return &format.TimestampType{IsAdjustedToUTC: true, Unit: milliseconds}
	case deprecated.TimestampMicros:
		return &format.TimestampType{IsAdjustedToUTC: true, Unit: microseconds}
	case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
		return &format.IntType{IsSigned: false}
	}
	return nil
}

// leaves appends the fields that are columns, in the order of the columns.
func (f *parquetField) leaves(list []*parquetField) []*parquetField {
	if len(f.children) == 0 {
		return append(list, f)
	}
	for _, c := range f.children {
		list = c.leaves(list)
	}
	return list
}

// writeRow writes a row's values as an object.
func (f *parquetField) writeRow(w *rowJSON, row parquet.Row, columns []cursor) {
	clear(columns)
	for i := 0; i < len(row); {
		j, column := i, row[i].Column()
		for j < len(row) && row[j].Column() == column {
			j++
		}
		columns[column].values = row[i:j]
		i = j
	}
	w.object(f.names, func(i int) bool { return f.children[i].write(w, columns) })
}

// head is the value of a field's first column that comes next.
func (f *parquetField) head(columns []cursor) *parquet.Value {
	c := &columns[f.first]
	return &c.values[c.at]
}

// skip takes the value of each of a field's columns that says that there is none.
func (f *parquetField) skip(columns []cursor) {
	for i := f.first; i < f.last; i++ {
		columns[i].at++
	}
}

// write writes a field's value, and reports whether it has one.
func (f *parquetField) write(w *rowJSON, columns []cursor) bool {
	switch {
	case f.repeated: // a list without a group around it
		f.writeElements(w, columns, f.writeValue)
		return true
	case f.optional && f.head(columns).DefinitionLevel() < f.definition:
		f.skip(columns)
		return false
	}
	return f.writeValue(w, columns)
}

func (f *parquetField) writeValue(w *rowJSON, columns []cursor) bool {
	switch {
	case len(f.children) == 0:
		c := &columns[f.first]
		v := c.values[c.at]
		c.at++
		f.leaf(w, v)
	case f.list:
		inner := f.children[0]
		element := inner.writeValue
		if len(inner.children) == 1 && inner.name != "array" && inner.name != f.name+"_tuple" { // not as old writers have it
			element = inner.children[0].write
		}
		inner.writeElements(w, columns, element)
	case f.pairs:
		f.writePairs(w, columns)
	default:
		w.object(f.names, func(i int) bool { return f.children[i].write(w, columns) })
	}
	return true
}

// each calls element for every element of a repeated field.
func (f *parquetField) each(columns []cursor, element func(i int)) {
	if f.head(columns).DefinitionLevel() < f.definition {
		f.skip(columns)
		return
	}
	for i := 0; ; i++ {
		element(i)
		if c := &columns[f.first]; c.at == len(c.values) || c.values[c.at].RepetitionLevel() < f.repetition {
			return
		}
	}
}

func (f *parquetField) writeElements(w *rowJSON, columns []cursor, element func(*rowJSON, []cursor) bool) {
	w.raw("[")
	f.each(columns, func(i int) {
		if i > 0 {
			w.raw(",")
		}
		if !element(w, columns) {
			w.raw("null")
		}
	})
	w.raw("]")
}

// writePairs writes a map as an object, whose keys are texts.
func (f *parquetField) writePairs(w *rowJSON, columns []cursor) {
	key, value := f.children[0].children[0], f.children[0].children[1]
	w.raw("{")
	f.children[0].each(columns, func(i int) {
		if i > 0 {
			w.raw(",")
		}
		w.key(func() { key.write(w, columns) })
		if !value.write(w, columns) {
			w.raw("null")
		}
	})
	w.raw("}")
}

// leaf writes a value of a column.
func (f *parquetField) leaf(w *rowJSON, v parquet.Value) {
	if v.IsNull() {
		w.raw("null")
		return
	}
	switch t := f.logical.(type) {
	case *format.TimestampType:
		w.time(timeOf(v.Int64(), perSecond(t.Unit)), t.IsAdjustedToUTC)
		return
	case *format.DateType:
		w.date(int64(v.Int32()))
		return
	case *format.TimeType:
		n := v.Int64()
		if v.Kind() == parquet.Int32 {
			n = int64(v.Int32())
		}
		w.timeOfDay(n, perSecond(t.Unit))
		return
	case *format.UUIDType:
		if b := v.ByteArray(); len(b) == 16 {
			w.text(fmt.Appendf(nil, "%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
			return
		}
	case *format.Float16Type:
		if b := v.ByteArray(); len(b) == 2 {
			w.float(half(binary.LittleEndian.Uint16(b)), 32)
			return
		}
	case *format.DecimalType:
		w.raw(decimal(bigEndian(v), int(t.Scale)))
		return
	case *format.IntType:
		if !t.IsSigned {
			if v.Kind() == parquet.Int32 {
				w.unsigned(uint64(v.Uint32()))
			} else {
				w.unsigned(v.Uint64())
			}
			return
		}
	case *format.StringType, *format.EnumType, *format.JsonType:
		w.text(v.ByteArray())
		return
	}
	switch v.Kind() {
	case parquet.Boolean:
		w.boolean(v.Boolean())
	case parquet.Int32:
		w.integer(int64(v.Int32()))
	case parquet.Int64:
		w.integer(v.Int64())
	case parquet.Float:
		w.float(float64(v.Float()), 32)
	case parquet.Double:
		w.float(v.Double(), 64)
	case parquet.Int96: // a time, as Spark and Impala write it: nanoseconds of a Julian day
		n := v.Int96()
		days := int64(n[2]) - julianUnixEpoch
		w.time(time.Unix(days*86400, int64(uint64(n[1])<<32|uint64(n[0]))), false)
	case parquet.ByteArray, parquet.FixedLenByteArray:
		w.binary(v.ByteArray(), f.name)
	default:
		panic(&Error{fmt.Errorf("column %.60q is of type %s, which is not read: write the file without it", f.name, v.Kind())})
	}
}

// julianUnixEpoch is the Julian day of 1 January 1970.
const julianUnixEpoch = 2440588

func perSecond(u format.TimeUnit) int64 {
	switch u.Value.(type) {
	case *format.MilliSeconds:
		return 1e3
	case *format.MicroSeconds:
		return 1e6
	}
	return 1e9
}

// bigEndian is a whole number of a column in two's complement, its highest byte first.
func bigEndian(v parquet.Value) []byte {
	switch v.Kind() {
	case parquet.Int32:
		return binary.BigEndian.AppendUint32(nil, uint32(v.Int32()))
	case parquet.Int64:
		return binary.BigEndian.AppendUint64(nil, uint64(v.Int64()))
	}
	return v.ByteArray()
}
