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

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// TestDamagedTables changes single bytes of tables, and cuts them off: faults are told, and nothing is waited for.
func TestDamagedTables(t *testing.T) {
	paths, _ := filepath.Glob("testdata/*/*.[ap]*")
	to := filepath.Join(t.TempDir(), "table")
	for _, path := range paths {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		step := len(whole)/60 + 1
		for at := 0; at < len(whole); at += step {
			data := append([]byte(nil), whole...)
			data[at] ^= byte(1 + at%255)
			fuzzFile(t, to, data)
			fuzzFile(t, to, whole[:at+1])
		}
	}
}

// TestDecompressedPagesAreBounded: what a page says of its size holds, before a decoder is asked.
func TestDecompressedPagesAreBounded(t *testing.T) {
	const size = 1 << 20
	data := make([]byte, size)
	streamed := func() []byte { // a frame that does not say what it holds
		var b strings.Builder
		w, _ := zstd.NewWriter(&b)
		w.Write(data)
		w.Flush()
		w.Close()
		return []byte(b.String())
	}()
	whole, _ := zstd.NewWriter(nil)
	packed := make([]byte, lz4.CompressBlockBound(size))
	n, err := lz4.CompressBlock(data, packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		codec format.CompressionCodec
		data  []byte
	}{
		"zstd":             {format.Zstd, whole.EncodeAll(data, nil)},
		"zstd, two frames": {format.Zstd, whole.EncodeAll(data[:size/2], whole.EncodeAll(data[size/2:], nil))},
		"zstd, streamed":   {format.Zstd, streamed}, "lz4": {format.Lz4Raw, packed[:n]}, "gzip": {format.Gzip, compressions["gzip"](data)},
		"snappy": {format.Snappy, snappy.Encode(nil, data)},
	} {
		var d decompressor
		if got, err := d.decompress(c.codec, c.data, size); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		fuzzguard.Call(t, len(c.data), fuzzguard.Bound{PerByte: 64, Fixed: 16 << 20}, func() {
			if _, err := d.decompress(c.codec, c.data, size-1); !errors.Is(err, errThrift) {
				t.Errorf("%s: more than the page says is accepted: %v", name, err)
			}
		})
	}
	var d decompressor
	if _, err := d.decompress(format.Lz4Raw, []byte{0xF0, 0xFF, 0xFF}, size); err == nil { // on which the library's decoder never ends
		t.Error("damaged lz4 is accepted")
	}
}

// TestThriftIsBounded: depth and counts that a few bytes claim.
func TestThriftIsBounded(t *testing.T) {
	for name, data := range map[string]string{
		"nested structs": strings.Repeat("\x1C", 1000),
		"nested lists":   "\x19" + strings.Repeat("\x19", 1000),
		"a list":         "\x19\xFC\xFF\xFF\xFF\xFF\x07",
		"empty structs":  "\x19\xFC\x80\x80\x04" + strings.Repeat("\x00", 1<<16),
		"a text":         "\x18\xFF\xFF\xFF\xFF\x07abc",
		"no end":         "\x15\x02",
		"a map":          "\x1B\x01\x88",
	} {
		if _, err := walkThrift([]byte(data)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if n, err := walkThrift([]byte("\x15\x02\x18\x03abc\x19\x25\x02\x04\x11\x00more")); err != nil || n != 13 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestReadStops: a context that is done ends the reading of a long stream, in its middle.
func TestReadStops(t *testing.T) {
	path := write(t, "x", compressions["gzip"]([]byte(strings.Repeat(good, 50000))))
	in, err := Open([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	err = in.Read(ctx, Position{}, func(Block) error { calls++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("%d blocks, %v", calls, err)
	}
	var fault *Error
	if errors.As(err, &fault) {
		t.Errorf("a done context is told as the file's fault: %v", err)
	}
}
