package source

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"so8t/fuzzguard"
)

// readBound: pages and batches are decompressed within maxPages and maxArrowBody, a zstd stream has a window. What is
// fixed holds one of them.
var readBound = fuzzguard.Bound{PerByte: 2048, Fixed: 1200 << 20}

// fuzzBlocks are read of a file: a few bytes can stand for very many rows.
const fuzzBlocks = 6

var errEnough = errors.New("enough")

// fuzzFile holds one file to what Open and Read promise: an answer, faults as one line that names the file, and the same
// blocks from any position on.
func fuzzFile(t *testing.T, path string, data []byte) {
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var list []Block
	var in *Input
	var err error
	fuzzguard.Call(t, len(data), readBound, func() {
		if in, err = Open([]string{path}); err != nil {
			return
		}
		err = in.Read(context.Background(), Position{}, func(b Block) error {
			if list = append(list, b); len(list) == fuzzBlocks {
				return errEnough
			}
			return nil
		})
	})
	var fault *Error
	if err != nil && !errors.Is(err, errEnough) && (!errors.As(err, &fault) || strings.ContainsAny(err.Error(), "\n\r") ||
		!strings.Contains(err.Error(), path) || len(err.Error()) > 600) {
		t.Fatalf("%T: %q", err, err)
	}
	line := int64(0)
	for _, b := range list {
		for _, r := range b.Rows {
			if r.Line <= line || r.Line > b.Next.Line || (r.Fault == "") == (len(r.JSON) == 0) || len(r.JSON) > maxRow+1<<10 {
				t.Fatalf("line %d after %d, fault %q, %d bytes", r.Line, line, r.Fault, len(r.JSON))
			}
			line = r.Line
		}
	}
	if len(list) < 2 {
		return
	}
	again := errors.New("no block")
	resumed := in.Read(context.Background(), list[0].Next, func(b Block) error {
		if again = nil; b.Next != list[1].Next || len(b.Rows) != len(list[1].Rows) {
			again = errors.New("another block")
		}
		for i := range b.Rows {
			if again == nil && !bytes.Equal(b.Rows[i].JSON, list[1].Rows[i].JSON) {
				again = errors.New("another row")
			}
		}
		return errEnough
	})
	if fault != nil && errors.As(resumed, new(*Error)) {
		return // a file that is damaged further on may be refused where reading goes on
	}
	if again != nil {
		t.Fatal(again)
	}
}

// memoryDir is a folder where writing costs little, if the machine has one.
func memoryDir(f *testing.F) string {
	dir, err := os.MkdirTemp("/dev/shm", "so8t-source-")
	if err != nil {
		return f.TempDir()
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// fuzzTables runs fuzzFile on variations of the tables in testdata.
func fuzzTables(f *testing.F, pattern string) {
	blockSize = 2000
	paths, err := filepath.Glob("testdata/*/" + pattern)
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	path := filepath.Join(memoryDir(f), "fuzz")
	f.Fuzz(func(t *testing.T, data []byte) { fuzzFile(t, path, data) })
}

func FuzzParquet(f *testing.F) { fuzzTables(f, "*.parquet") }
func FuzzArrow(f *testing.F)   { fuzzTables(f, "*.arrow") }

// FuzzText reads texts, plain, and packed and damaged at one byte.
func FuzzText(f *testing.F) {
	blockSize = 100
	lines := []string{`{"a":"あ\n"}`, `{"b":[1,{"c":null}]}`, `{"a":"\\\""}`, `{"messages":[{"role":"user"}]}`}
	for _, text := range texts(lines) {
		for _, encode := range encodings {
			f.Add(encode(text), uint8(0), uint16(0), uint8(0))
		}
		f.Add([]byte(text), uint8(1), uint16(40), uint8(7))
		f.Add([]byte(text), uint8(2), uint16(9), uint8(0))
	}
	f.Add([]byte("[{]"), uint8(0), uint16(0), uint8(0))
	f.Add([]byte("a,b\n1,2"), uint8(0), uint16(0), uint8(0))
	path := filepath.Join(memoryDir(f), "fuzz")
	f.Fuzz(func(t *testing.T, data []byte, packed uint8, at uint16, change uint8) {
		data = compressions[[]string{"", "gzip", "zstd"}[packed%3]](data)
		if len(data) > 0 {
			data[int(at)%len(data)] ^= change
		}
		fuzzFile(t, path, data)
	})
}
