package source

import (
	"bufio"
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
		{long + "\nb\n" + long, []string{"TOO LONG", "b", "TOO LONG"}},
		{strings.Repeat("y", 200) + "\nb", []string{"TOO LONG", "b"}},
		{strings.Repeat("y", 199) + "\nb", []string{strings.Repeat("y", 199), "b"}},
	} {
		l := lineReader{r: bufio.NewReaderSize(strings.NewReader(c.text), 16), max: 200}
		var got []string
		for {
			text, tooLong, err := l.next([]byte("before"))
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if tooLong {
				text = append(text, "TOO LONG"...)
			}
			got = append(got, strings.TrimPrefix(string(text), "before"))
		}
		if strings.Join(got, "|") != strings.Join(c.want, "|") || l.taken != int64(len(c.text)) {
			t.Errorf("%.30q: %q, want %q, %d bytes", c.text, got, c.want, l.taken)
		}
	}
}
