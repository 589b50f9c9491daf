package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"
)

// TestEncodeSpans holds rendering, spans and mask against transformers: testdata/make_spans.py.
func TestEncodeSpans(t *testing.T) {
	f, err := os.Open("testdata/spans.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	models := map[string]*Tokenizer{}
	n, marked := 0, 0
	for ; lines.Scan(); n++ {
		var c struct {
			Model, Template, Text string
			Messages              []Message
			Spans                 [][2]int
			IDs                   []int32
			Mask                  []int
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		if models[c.Model] == nil {
			if models[c.Model], err = Load(c.Model); err != nil {
				t.Fatal(err)
			}
		}
		tok := models[c.Model]
		special := map[string]string{}
		if _, ok := tok.ID("<|endoftext|>"); ok {
			special["eos_token"] = "<|endoftext|>"
		}
		if err := tok.chat.parse("t", c.Template, special); err != nil {
			t.Fatal(err)
		}
		r, err := tok.RenderChat(c.Messages, false)
		if err != nil || r.Text != c.Text || len(r.Generated)+len(c.Spans) > 0 && !reflect.DeepEqual(r.Generated, c.Spans) {
			t.Errorf("%s: %q, %v, %v, want %q, %v", c.Template, r.Text, r.Generated, err, c.Text, c.Spans)
			continue
		}
		ids, in, err := tok.EncodeSpans(r.Text, r.Generated)
		if err != nil || !slices.Equal(ids, c.IDs) || !slices.Equal(ids, tok.Encode(r.Text)) || len(in) != len(c.Mask) {
			t.Errorf("%s: ids %v, want %v, %v", c.Template, ids, c.IDs, err)
			continue
		}
		for i := range in {
			if in[i] != (c.Mask[i] == 1) {
				t.Errorf("%s of %q: token %d, %d, is marked %t", c.Template, r.Text, i, ids[i], in[i])
			}
			marked += c.Mask[i]
		}
	}
	if n == 0 || marked == 0 || lines.Err() != nil {
		t.Errorf("%d cases, %d tokens, %v", n, marked, lines.Err())
	}
}
