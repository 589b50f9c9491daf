package source

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file whose stream ends by the footer alone, as Go's writer leaves it, has all its rows; without the whole footer it is
// refused, as rows may be missing.
func TestArrowFileEndsByItsFooter(t *testing.T) {
	data, err := os.ReadFile("testdata/forms/file.arrow")
	if err != nil {
		t.Fatal(err)
	}
	footer := len(data) - 10 - int(binary.LittleEndian.Uint32(data[len(data)-10:]))
	if string(data[footer-8:footer]) != "\xff\xff\xff\xff\x00\x00\x00\x00" {
		t.Fatalf("no end of a stream before the footer: %q", data[footer-8:footer])
	}
	read := func(data []byte) (rows int, err error) {
		path := filepath.Join(t.TempDir(), "f.arrow")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := Open([]string{path})
		if err != nil {
			return 0, err
		}
		err = in.Read(context.Background(), Position{}, func(b Block) error { rows += len(b.Rows); return nil })
		return rows, err
	}
	want, err := read(data)
	if err != nil || want == 0 {
		t.Fatal(want, err)
	}
	open := append(append([]byte{}, data[:footer-8]...), data[footer:]...)
	if rows, err := read(open); rows != want || err != nil {
		t.Errorf("%d rows of %d, %v", rows, want, err)
	}
	cut := append(append([]byte{}, data[:footer-8]...), data[footer+8:]...)
	if _, err := read(cut); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a footer that is cut: %v", err)
	}
}
