package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"so8t/dataset/record"
)

// write puts a file into a folder of the test's.
func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// blocks reads files from a position on.
func blocks(paths []string, from Position) (list []Block, err error) {
	in, err := Open(paths)
	if err != nil {
		return nil, err
	}
	err = in.Read(context.Background(), from, func(b Block) error {
		list = append(list, b)
		return nil
	})
	return list, err
}

// rowsOf reads a file's rows; a fault stands as itself.
func rowsOf(t testing.TB, path string) (rows []string) {
	t.Helper()
	list, err := blocks([]string{path}, Position{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		for _, r := range b.Rows {
			rows = append(rows, r.Fault+string(r.JSON))
		}
	}
	return rows
}

// compressions are what a file may be packed into.
var compressions = map[string]func(data []byte) []byte{
	"": func(data []byte) []byte { return data },
	"gzip": func(data []byte) []byte { // of two members
		var b bytes.Buffer
		for _, part := range [][]byte{data[:len(data)/2], data[len(data)/2:]} {
			w := gzip.NewWriter(&b)
			w.Write(part)
			w.Close()
		}
		return b.Bytes()
	},
	"zstd": func(data []byte) []byte { // of two frames, and one to be skipped before them
		b := []byte{0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3}
		w, _ := zstd.NewWriter(nil)
		return w.EncodeAll(data[len(data)/2:], w.EncodeAll(data[:len(data)/2], b))
	},
}

// encodings are what a text may be written in.
var encodings = map[string]func(text string) []byte{
	"utf-8":          func(text string) []byte { return []byte(text) },
	"utf-8 marked":   func(text string) []byte { return []byte("\uFEFF" + text) },
	"utf-16le":       func(text string) []byte { return utf16Of("\uFEFF"+text, 0) },
	"utf-16be":       func(text string) []byte { return utf16Of("\uFEFF"+text, 1) },
	"utf-8 with CRs": func(text string) []byte { return []byte(strings.ReplaceAll(text, "\n", "\r\n")) },
}

func utf16Of(text string, high int) (b []byte) {
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, [][]byte{{byte(u), byte(u >> 8)}, {byte(u >> 8), byte(u)}}[high]...)
	}
	return b
}

// texts are the JSON forms of rows.
func texts(lines []string) map[string]string {
	var pretty []string
	for _, line := range lines {
		var b bytes.Buffer
		json.Indent(&b, []byte(line), "", "  ")
		pretty = append(pretty, b.String())
	}
	return map[string]string{
		"jsonl":          strings.Join(lines, "\n") + "\n",
		"jsonl, gaps":    "\n \n" + strings.Join(lines, "\n\n") + "\n\n\t\n",
		"jsonl, no end":  strings.Join(lines, "\n"),
		"array":          "[" + strings.Join(lines, ",") + "]",
		"array by lines": "[\n" + strings.Join(lines, ",\n") + "\n]\n",
		"pretty array":   "\n[ " + strings.Join(pretty, ",\n") + " ]",
		"pretty":         strings.Join(pretty, "\n"),
		"joined":         strings.Join(lines, ""),
	}
}

// forms writes the records of testdata/forms/rows.jsonl in every form, compression and encoding.
func forms(t testing.TB) (lines []string, paths map[string]string) {
	data, err := os.ReadFile("testdata/forms/rows.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines = strings.Split(strings.TrimSpace(string(data)), "\n")
	dir := t.TempDir()
	paths = map[string]string{}
	put := func(name string, data []byte) {
		for compression, pack := range compressions {
			key := strings.TrimSpace(name + " " + compression)
			paths[key] = filepath.Join(dir, fmt.Sprint(len(paths)))
			if err := os.WriteFile(paths[key], pack(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for form, text := range texts(lines) {
		for encoding, encode := range encodings {
			put(form+" "+encoding, encode(text))
		}
	}
	tables, err := filepath.Glob("testdata/forms/*.[ap]*")
	if err != nil || len(tables) != 19 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	for _, path := range tables {
		if data, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		put(filepath.Base(path), data)
	}
	return lines, paths
}

// TestFormsGiveTheSameRecords reads the same rows from every form, compression and encoding.
func TestFormsGiveTheSameRecords(t *testing.T) {
	lines, paths := forms(t)
	reader, err := record.NewReader(record.Options{FourClass: true})
	if err != nil {
		t.Fatal(err)
	}
	parse := func(row []byte) record.Record {
		r, reason, detail := reader.Parse(row, nil)
		if reason != "" {
			t.Fatalf("%s: %s %s", row, reason, detail)
		}
		return r
	}
	for name, path := range paths {
		rows := rowsOf(t, path)
		if len(rows) != len(lines) {
			t.Errorf("%s: %d rows", name, len(rows))
			continue
		}
		for i, row := range rows {
			var got, want any
			if err := json.Unmarshal([]byte(row), &got); err != nil {
				t.Errorf("%s: row %d: %v", name, i, err)
			}
			json.Unmarshal([]byte(lines[i]), &want)
			if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(parse([]byte(row)), parse([]byte(lines[i]))) {
				t.Errorf("%s: row %d is %s, want %s", name, i, row, lines[i])
				break
			}
		}
	}
}

func TestFileSaysWhatItIs(t *testing.T) {
	_, paths := forms(t)
	for name, path := range paths {
		in, err := Open([]string{path})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f := in.Files[0]
		want := File{Path: path, Size: f.Size, Format: "json"}
		for _, format := range []string{"jsonl", "parquet", "arrow"} {
			if strings.Contains(name, format) {
				want.Format = format
			}
		}
		for _, encoding := range []string{"utf-16le", "utf-16be"} {
			if strings.Contains(name, encoding) {
				want.Encoding = encoding
			}
		}
		for _, compression := range []string{"gzip", "zstd"} {
			if strings.HasSuffix(name, " "+compression) {
				want.Compression = compression
			}
		}
		if f.array = false; f != want {
			t.Errorf("%s: %+v, want %+v", name, f, want)
		}
	}
}

// TestReadingGoesOnAtAnyBlock cuts files into small blocks, and begins anew behind each.
func TestReadingGoesOnAtAnyBlock(t *testing.T) {
	defer func(size int64) { blockSize = size }(blockSize)
	blockSize = 8000
	lines, paths := forms(t)
	for name, path := range paths {
		if strings.Contains(name, "marked") || strings.Contains(name, "CRs") || strings.HasSuffix(name, "zstd") {
			continue
		}
		files := []string{paths["array utf-8"], path, paths["v2.parquet zstd"]}
		whole, err := blocks(files, Position{})
		if err != nil || len(whole) < 8 {
			t.Fatalf("%s: %d blocks, %v", name, len(whole), err)
		}
		rows, read := 0, int64(0)
		for i, b := range whole {
			rest, err := blocks(files, b.Next)
			if err != nil || len(rest) != len(whole)-i-1 {
				t.Fatalf("%s: %d blocks behind block %d of %d, %v", name, len(rest), i, len(whole), err)
			}
			for j := range rest {
				want := whole[i+1+j]
				want.Read, rest[j].Read = 0, 0 // of a compressed file, as far as its decoder has gone
				if !reflect.DeepEqual(rest[j], want) {
					t.Fatalf("%s: block %d from block %d on is %+v, want %+v", name, i+1+j, i, rest[j].Next, want.Next)
				}
			}
			if b.Read < read {
				t.Errorf("%s: progress goes back from %d to %d", name, read, b.Read)
			}
			rows, read = rows+len(b.Rows), b.Read
			if n := len(b.Rows); n > 0 && b.Rows[n-1].Line > b.Next.Line {
				t.Errorf("%s: line %d in a block up to %d", name, b.Rows[n-1].Line, b.Next.Line)
			}
		}
		in, _ := Open(files)
		if rows != 3*len(lines) || read != in.Size {
			t.Errorf("%s: %d rows, %d of %d bytes", name, rows, read, in.Size)
		}
	}
}
