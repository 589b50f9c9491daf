package dataset

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseLineReadsEveryField(t *testing.T) {
	r, reason, detail := parseLine([]byte(`{"instruction":"i\u3042","input":"","output":"o","four_class_label":"DENY","domain_label":"d","safety_label":"s",` +
		`"thinking_format":"q","system":"y","source_url":"https://example.com/","license":null,"nsfw":true}`))
	want := Record{Instruction: "iあ", Output: "o", FourClassLabel: "DENY", DomainLabel: "d", SafetyLabel: "s", ThinkingFormat: "q", System: "y", SourceURL: "https://example.com/", NSFW: true}
	if reason != "" || r != want {
		t.Errorf("%+v, %s %s", r, reason, detail)
	}
}

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

// FuzzParseLine: whatever is accepted is what encoding/json reads too, with every required field.
func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"instruction":"i","input":"","output":"o","four_class_label":"DENY","nsfw":false}`))
	f.Add([]byte(`{"instruction":"\u3042\n","input":"x","output":"\"","four_class_label":"ALLOW","system":null}`))
	f.Add([]byte(`{"instruction":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, reason, detail := parseLine(data)
		if reason != "" {
			if !utf8.ValidString(detail) || len(detail) > 300 {
				t.Errorf("%s: detail %q", reason, detail)
			}
			return
		}
		var other Record
		if err := json.Unmarshal(data, &other); err != nil || other != r {
			t.Errorf("%+v, encoding/json reads %+v, %v", r, other, err)
		}
		if r.Instruction == "" || r.Output == "" || !isLabel(r.FourClassLabel) || !utf8.ValidString(r.Output) {
			t.Errorf("accepted %+v", r)
		}
	})
}
