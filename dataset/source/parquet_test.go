package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// TestTypes reads what JSON has no type for.
func TestTypes(t *testing.T) {
	for name, want := range map[string][]string{
		"pyarrow": {
			`{"stamp":"2024-02-29T12:34:56.789","date":"2024-02-29","time":"12:34:56.789","decimal":12.30,"fixed":"abcd",` +
				`"half":0.5,"small":1,"unsigned":9223372036854775808}`,
			`{"date":"1969-12-31","decimal":-0.05,"fixed":"abce","small":-1,"unsigned":0}`,
			`{"stamp":"1969-12-31T23:59:59.005","time":"23:59:59.005","half":-2}`,
		},
		"duckdb": {`{"uuid":"12345678-9abc-def0-1234-56789abcdef0","stamp":"2024-02-29T12:34:56.789","date":"2024-02-29",` +
			`"time":"12:34:56","decimal":12.30,"small":255,"pairs":{"k":1}}`},
	} {
		if got := rowsOf(t, "testdata/types/"+name+".parquet"); !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s, want\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestTablesHaveEveryEncoding: the tables of testdata are read for their encodings' and compressions' sake.
func TestTablesHaveEveryEncoding(t *testing.T) {
	encodings, codecs, types := map[format.Encoding]bool{}, map[format.CompressionCodec]bool{}, map[format.Type]bool{}
	paths, _ := filepath.Glob("testdata/*/*.parquet")
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, _ := f.Stat()
		meta, err := readFooter(f, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range meta.RowGroups[0].Columns {
			for _, e := range c.MetaData.Encoding {
				encodings[e] = true
			}
			codecs[c.MetaData.Codec], types[c.MetaData.Type] = true, true
		}
	}
	for _, e := range []format.Encoding{format.Plain, format.RLE, format.RLEDictionary, format.DeltaBinaryPacked, format.DeltaLengthByteArray,
		format.DeltaByteArray, format.ByteStreamSplit} {
		if !encodings[e] {
			t.Errorf("no table has the encoding %s", e)
		}
	}
	for c := format.Uncompressed; c <= format.Lz4Raw; c++ {
		if !codecs[c] && c != 3 && c != 5 { // LZO, and LZ4 as Hadoop has it
			t.Errorf("no table has the compression %s", c)
		}
	}
	for kind := format.Boolean; kind <= format.FixedLenByteArray; kind++ {
		if !types[kind] && kind != format.Float {
			t.Errorf("no table has the type %s", kind)
		}
	}
}

// varints are numbers as Parquet's deltas have them; zigzag is one of them where it may be negative.
func varints(values ...uint64) (b []byte) {
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

// equal are deltas of count values that are all v.
func equal(v int64, count int) []byte {
	b := varints(128, 4, uint64(count), zigzag(v))
	for left := count - 1; left > 0; left -= 128 {
		b = append(b, 0, 0, 0, 0, 0)
	}
	return b
}

// TestDeltasAreBounded: counts, widths and lengths of deltas that a few bytes claim.
func TestDeltasAreBounded(t *testing.T) {
	const count = 200
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	for name, c := range map[string]struct {
		encoding format.Encoding
		kind     format.Type
		data     []byte
		fits     bool
	}{
		"integers":                  {format.DeltaBinaryPacked, format.Int32, equal(7, count), true},
		"wide integers":             {format.DeltaBinaryPacked, format.Int64, equal(1<<40, count), true},
		"a value too large":         {format.DeltaBinaryPacked, format.Int32, equal(1<<40, count), false},
		"too many values":           {format.DeltaBinaryPacked, format.Int64, equal(7, count+1), false},
		"a huge count":              {format.DeltaBinaryPacked, format.Int64, varints(128, 4, 1<<31, 0), false},
		"a huge block":              {format.DeltaBinaryPacked, format.Int64, varints(1<<40, 4, 9, 0), false},
		"a block of zero":           {format.DeltaBinaryPacked, format.Int64, varints(0, 4, 9, 0), false},
		"no miniblocks":             {format.DeltaBinaryPacked, format.Int64, varints(128, 0, 9, 0), false},
		"more miniblocks than fit":  {format.DeltaBinaryPacked, format.Int64, varints(128, 256, 9, 0), false},
		"33 bits of 32":             {format.DeltaBinaryPacked, format.Int32, join(varints(128, 4, 9, 0, 0), []byte{33, 0, 0, 0}, make([]byte, 256)), false},
		"33 bits of 64":             {format.DeltaBinaryPacked, format.Int64, join(varints(128, 4, 9, 0, 0), []byte{33, 0, 0, 0}, make([]byte, 256)), true},
		"a cut miniblock":           {format.DeltaBinaryPacked, format.Int64, join(varints(128, 4, 9, 0, 0), []byte{8, 0, 0, 0}, make([]byte, 31)), false},
		"no block":                  {format.DeltaBinaryPacked, format.Int64, varints(128, 4, 9, 0), false},
		"nothing":                   {format.DeltaBinaryPacked, format.Int64, nil, false},
		"texts":                     {format.DeltaLengthByteArray, format.ByteArray, join(equal(3, count), make([]byte, 3*count)), true},
		"texts beyond the page":     {format.DeltaLengthByteArray, format.ByteArray, join(equal(3, count), make([]byte, 3*count-1)), false},
		"a negative length":         {format.DeltaLengthByteArray, format.ByteArray, equal(-1, count), false},
		"lengths that overflow":     {format.DeltaLengthByteArray, format.ByteArray, equal(1<<30, count), false},
		"prefixes":                  {format.DeltaByteArray, format.ByteArray, join(equal(0, count), equal(3, count), make([]byte, 3*count)), true},
		"a prefix of nothing":       {format.DeltaByteArray, format.ByteArray, join(equal(1, count), equal(3, count), make([]byte, 3*count)), false},
		"fewer prefixes":            {format.DeltaByteArray, format.ByteArray, join(equal(0, count-1), equal(3, count), make([]byte, 3*count)), false},
		"suffixes beyond the page":  {format.DeltaByteArray, format.ByteArray, join(equal(0, count), equal(3, count), make([]byte, 3*count-1)), false},
		"fixed":                     {format.DeltaByteArray, format.FixedLenByteArray, join(equal(0, count), equal(4, count), make([]byte, 4*count)), true},
		"fixed of another size":     {format.DeltaByteArray, format.FixedLenByteArray, join(equal(0, count), equal(3, count), make([]byte, 3*count)), false},
		"integers as texts":         {format.DeltaBinaryPacked, format.ByteArray, equal(7, count), false},
		"runs of integers":          {format.RLE, format.Int32, varints(2*count, 0), false},
		"an unknown encoding":       {99, format.Int32, nil, false},
		"a long run of indices":     {format.RLEDictionary, format.ByteArray, join([]byte{8}, varints(1<<31), []byte{0}), false},
		"many runs of indices":      {format.RLEDictionary, format.ByteArray, join([]byte{0}, bytes.Repeat(varints(2*count), 100)), false},
		"groups of indices of zero": {format.RLEDictionary, format.ByteArray, join([]byte{0}, varints(1<<30|1)), false},
		"indices":                   {format.RLEDictionary, format.ByteArray, join([]byte{8}, varints(2*count), []byte{0}), true},
	} {
		leaf := &parquetField{element: &format.SchemaElement{}}
		leaf.element.Type.V, leaf.element.TypeLength.V = c.kind, 4
		p := pageValues{leaf: leaf, encoding: c.encoding, data: c.data, count: count}
		if _, err := p.check(); (err == nil) != c.fits {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPrefixesAreBounded: a text that grows with every value, whose prefixes are the values before it.
func TestPrefixesAreBounded(t *testing.T) {
	const count = 30000 // whose texts take 450 MB
	prefixes := varints(128, 4, count, zigzag(0))
	for left := count - 1; left > 0; left -= 128 {
		prefixes = append(prefixes, byte(zigzag(1)), 0, 0, 0, 0)
	}
	data := slices.Concat(prefixes, equal(1, count), make([]byte, count))
	if total, err := checkDeltaBytes(data, count, -1); err == nil || errors.Is(err, errThrift) {
		t.Errorf("%d bytes: %v", total, err)
	}
	if total, err := checkDeltaBytes(slices.Concat(varints(128, 4, 1, 0), equal(1, 1), make([]byte, 1)), 1, -1); err != nil || total != 1 {
		t.Errorf("%d bytes: %v", total, err)
	}
}

// TestDeltasAreReadAsTheLibraryDoes: a page that is checked by other lengths than it is decoded by is not checked.
func TestDeltasAreReadAsTheLibraryDoes(t *testing.T) {
	var values []int32
	for i := range 1000 {
		values = append(values, int32(i*i*i*7919)>>(i%32))
	}
	data, err := parquet.DeltaBinaryPacked.EncodeInt32(nil, values)
	if err != nil {
		t.Fatal(err)
	}
	d, rest, err := deltaLengths(append(data, "rest"...), len(values))
	if err != nil || string(rest) != "rest" {
		t.Fatalf("%q follows, %v", rest, err)
	}
	for i, want := range values {
		if got, err := d.next(); err != nil || got != want {
			t.Fatalf("value %d is %d, want %d, %v", i, got, want, err)
		}
	}
}

// TestRefusedColumnIsNamed: the one line of what is not read.
func TestRefusedColumnIsNamed(t *testing.T) {
	data, err := os.ReadFile("testdata/forms/plain.parquet")
	if err != nil {
		t.Fatal(err)
	}
	// The first page's header: 5 a struct: 1 the values, 2 the encoding.
	at := bytes.Index(data[:100], []byte{0x15, 0x00, 0x15, 0x06, 0x15, 0x06})
	if at < 0 {
		t.Fatalf("no header in % x", data[:60])
	}
	data[at+1] = 4 << 1 // BIT_PACKED
	_, err = blocks([]string{write(t, "x", data)}, Position{})
	if err == nil || !strings.Contains(err.Error(), `column "instruction": the encoding BIT_PACKED of BYTE_ARRAY is not read`) {
		t.Error(err)
	}
}

// TestColumnPlaces: where a column claims to begin must be the beginning of a page, and its dictionary comes first.
func TestColumnPlaces(t *testing.T) {
	f, err := os.Open("testdata/forms/zstd.parquet")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	for name, change := range map[string]func(m *format.ColumnMetaData){
		"":                           func(*format.ColumnMetaData) {},
		"no page begins":             func(m *format.ColumnMetaData) { m.DataPageOffset++ },
		"outside of the file":        func(m *format.ColumnMetaData) { m.DictionaryPageOffset = m.DataPageOffset + 1 },
		"a column outside":           func(m *format.ColumnMetaData) { m.TotalCompressedSize = info.Size() },
		"the compression LZ4 is not": func(m *format.ColumnMetaData) { m.Codec = 5 },
	} {
		meta, err := readFooter(f, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		schema, err := newParquetSchema(meta.Schema)
		if err != nil {
			t.Fatal(err)
		}
		change(&meta.RowGroups[0].Columns[0].MetaData)
		err = checkPages(f, info.Size(), &meta.RowGroups[0], schema.leaves(nil))
		if (err == nil) != (name == "") || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
