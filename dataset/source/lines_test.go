package source

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestLineReader(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"a", []string{"a"}},
		{"a\n", []string{"a"}},
		{"a\r\nb\rc\n\n", []string{"a", "b\rc", ""}},
		{"\uFEFFa\n\uFEFFb", []string{"a", "\uFEFFb"}},
		{long + "\nb\n" + long, []string{"TOO LONG", "b", "TOO LONG"}},
		{strings.Repeat("y", 200) + "\nb", []string{"TOO LONG", "b"}},
		{strings.Repeat("y", 199) + "\nb", []string{strings.Repeat("y", 199), "b"}},
	} {
		l := newLineReader(strings.NewReader(c.text), 200)
		var got []string
		for {
			text, tooLong, err := l.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if tooLong {
				text = []byte("TOO LONG")
			}
			got = append(got, string(text))
		}
		if strings.Join(got, "|") != strings.Join(c.want, "|") || l.count != int64(len(c.want)) {
			t.Errorf("%.30q: %q, want %q", c.text, got, c.want)
		}
	}
}
