package source

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// headSize is how much of a text is read to find out what it is.
const headSize = 256 << 10

// identify finds out what a file is. Its errors are *Error.
func identify(path string) (file File, info os.FileInfo, err error) {
	if info, err = os.Stat(path); err != nil {
		return file, nil, &Error{err}
	}
	if err = regular(path, info); err != nil {
		return file, nil, err
	}
	file = File{Path: path, Size: info.Size()}
	err = guard(path, func() error {
		head, err := readHead(path, "")
		if err != nil {
			return err
		}
		if file.Compression = compressionOf(head); file.Compression != "" {
			if head, err = readHead(path, file.Compression); err != nil {
				return err
			}
		}
		return file.judge(head)
	})
	var known *Error
	if err != nil && !errors.As(err, &known) {
		err = &Error{err}
	}
	return file, info, err
}

// regular refuses what is no file with content.
func regular(path string, info os.FileInfo) error {
	switch {
	case info.IsDir():
		return &Error{fmt.Errorf("%s is a folder: name the files in it, as in %s/*.jsonl", path, path)}
	case !info.Mode().IsRegular():
		return &Error{fmt.Errorf("%s is no regular file (%s): write its content to a file", path, info.Mode().Type())}
	case info.Size() == 0:
		return &Error{fmt.Errorf("%s is empty", path)}
	}
	return nil
}

// readHead reads the first bytes behind a compression.
func readHead(path, compression string) ([]byte, error) {
	s, err := openStream(context.Background(), path, compression)
	if err != nil {
		return nil, err
	}
	head, err := io.ReadAll(io.LimitReader(s, headSize))
	return head, errors.Join(err, s.Close())
}

func compressionOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\x1F\x8B")):
		return "gzip"
	case len(head) >= 4 && (string(head[:4]) == "\x28\xB5\x2F\xFD" || binary.LittleEndian.Uint32(head)&^0xF == 0x184D2A50): // or a frame to be skipped
		return "zstd"
	}
	return ""
}

// judge decides by a file's first decompressed bytes.
func (f *File) judge(head []byte) error {
	switch {
	case len(head) == 0:
		return errors.New("is empty once decompressed")
	case compressionOf(head) != "":
		return fmt.Errorf("is %s within %s: decompress it once", compressionOf(head), f.Compression)
	case bytes.HasPrefix(head, []byte("PAR1")):
		f.Format = "parquet"
	case bytes.HasPrefix(head, []byte("ARROW1")) || arrowStream(head):
		f.Format = "arrow"
	}
	if f.Format != "" {
		r, err := openRows(context.Background(), *f, Position{}) // reads the schema
		if err != nil {
			return err
		}
		return r.Close()
	}
	if what := binaryKind(head); what != "" {
		return errors.New(what)
	}
	return f.judgeText(head)
}

// arrowStream recognises an Arrow IPC stream by the prefix of its first message: a mark, and the length of a schema.
func arrowStream(head []byte) bool {
	if len(head) < 16 || binary.LittleEndian.Uint32(head) != 0xFFFFFFFF {
		return false
	}
	length := binary.LittleEndian.Uint32(head[4:])
	return length > 0 && length <= maxArrowHeader && length%8 == 0
}

// binaryKinds are other kinds of files, by their first bytes.
var binaryKinds = []struct{ magic, what string }{
	{"PARE", "is an encrypted Parquet file: decrypt it first"},
	{"PK\x03\x04", "is a ZIP archive (or an Excel workbook): unpack it, and name the files in it"},
	{"\xFD7zXZ\x00", "is compressed with xz: decompress it with xz -d"},
	{"BZh", "is compressed with bzip2: decompress it with bunzip2"},
	{"\x04\x22\x4D\x18", "is compressed with lz4: decompress it with lz4 -d"},
	{"\xFF\x06\x00\x00sNaPpY", "is compressed with snappy: decompress it first"},
	{"7z\xBC\xAF\x27\x1C", "is a 7z archive: unpack it, and name the files in it"},
	{"Rar!\x1A\x07", "is a RAR archive: unpack it, and name the files in it"},
	{"%PDF-", "is a PDF: records are read from JSONL, JSON, Parquet and Arrow"},
	{"SQLite format 3\x00", "is an SQLite database: write its table as JSON lines with sqlite3 -json and jq -c '.[]'"},
	{"\x93NUMPY", "is a NumPy array: write its records as JSON lines"},
	{"\x89HDF\r\n\x1A\n", "is an HDF5 file: write its records as JSON lines"},
	{"Obj\x01", "is an Avro file: write its records as JSON lines or Parquet"},
	{"ORC", "is an ORC file: write its records as Parquet"},
	{"\x7FELF", "is a program"},
	{"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "is a Microsoft Office file: export its table, and convert that to JSON lines"},
	{"\x89PNG", "is an image"},
	{"\xFF\xD8\xFF", "is an image"},
	{"GIF8", "is an image"},
	{"GGUF", "is a model (GGUF), not data"},
}

// binaryKind describes a file that is not text, and what to do about it; empty if it may be text.
func binaryKind(head []byte) string {
	for _, k := range binaryKinds {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return k.what
		}
	}
	if len(head) < 4 {
		return ""
	}
	switch {
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return "is a tar archive: unpack it, and name the files in it"
	case head[0] == 0x80 && head[1] >= 2 && head[1] <= 5:
		return "is a Python pickle, which can run code when it is read: write its records as JSON lines"
	case len(head) > 9 && head[8] == '{' && binary.LittleEndian.Uint64(head) < 1<<30 && head[7] == 0 && bytes.IndexByte(head[:8], 0) > 0:
		return "is a safetensors file, which holds a model's tensors, not data"
	case string(head[:4]) == "\xFF\xFE\x00\x00" || string(head[:4]) == "\x00\x00\xFE\xFF" || wide(head, 4) != "":
		return "is UTF-32: convert it with iconv -f UTF-32 -t UTF-8"
	case wide(head, 2) != "":
		return fmt.Sprintf("is UTF-16 without a byte order mark: convert it with iconv -f UTF-16%s -t UTF-8", wide(head, 2))
	case bytes.Count(head, []byte{0}) == len(head):
		return "holds only zero bytes: a copy or download that did not finish"
	}
	return ""
}

// wide returns the byte order, LE or BE, of a text whose first two code units of width bytes are ASCII, as they are in
// JSON; else nothing.
func wide(head []byte, width int) string {
	if len(head) < 2*width {
		return ""
	}
	little, big := true, true
	for i, b := range head[:2*width] {
		ascii := b >= '\t' && b < 0x7F
		little = little && (i%width == 0 && ascii || i%width != 0 && b == 0)
		big = big && (i%width == width-1 && ascii || i%width != width-1 && b == 0)
	}
	switch {
	case little:
		return "LE"
	case big:
		return "BE"
	}
	return ""
}
