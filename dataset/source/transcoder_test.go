package source

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestTranscoder(t *testing.T) {
	long := strings.Repeat("a😀あ", 20000) // pairs on both sides of a buffer's end
	for name, c := range map[string]struct{ utf16, want string }{
		"pairs":                 {string(utf16Of("\uFEFFx😀y", 0)), "\uFEFFx😀y"},
		"long":                  {string(utf16Of("b"+long, 0)), "b" + long},
		"half a pair":           {"a\x00\x3D\xD8b\x00", "a\xFFb"},
		"half a pair at an end": {"a\x00\x3D\xD8", "a\xFF"},
		"halves swapped":        {"\x00\xDE\x3D\xD8c\x00", "\xFF\xFFc"},
		"half a unit":           {"a\x00b", "a\xFF"},
		"nothing":               {"", ""},
	} {
		for how, r := range map[string]io.Reader{
			"whole": strings.NewReader(c.utf16), "byte by byte": iotest.OneByteReader(strings.NewReader(c.utf16)),
			"by threes": &pieces{[]byte(c.utf16), 3},
		} {
			got, err := io.ReadAll(newTranscoder(r, "utf-16le"))
			if err != nil || string(got) != c.want {
				t.Errorf("%s, %s: %.60q, %v, want %.60q", name, how, got, err, c.want)
			}
		}
	}
	swapped := utf16Of("x😀", 1)
	if got, err := io.ReadAll(newTranscoder(bytes.NewReader(swapped), "utf-16be")); err != nil || string(got) != "x😀" {
		t.Errorf("big-endian: %q, %v", got, err)
	}
}

// pieces gives n bytes at a time.
type pieces struct {
	data []byte
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.data[:min(p.n, len(p.data))])
	p.data = p.data[n:]
	return n, nil
}
