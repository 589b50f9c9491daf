package tokenizer

import (
	"strings"
	"testing"
)

// The tokens' bytes are what Decode makes of them together, but for the space in front, and for a character that never came
// whole.
func TestBytes(t *testing.T) {
	for _, dir := range []string{"testdata/fallback", "../demo/base"} {
		tok, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		join := func(ids []int32) string {
			var b strings.Builder
			for _, id := range ids {
				b.WriteString(tok.Bytes(id))
			}
			return b.String()
		}
		for _, text := range []string{"", "a b", " 機密情報\n", "<think-task>𠮷野家🍣</think-task>", "<|end|>x<|user|>"} {
			ids := tok.Encode(text)
			if got, want := join(ids), tok.Decode(ids, false); got != want && strings.TrimPrefix(got, " ") != want {
				t.Errorf("%s: %q has the bytes %q, is decoded to %q", dir, text, got, want)
			}
		}
		ids := tok.Encode("あ\U0002A6D6") // the second is spelled in bytes
		if got := join(ids[:len(ids)-1]); !strings.HasSuffix(got, "\U0002A6D6"[:3]) {
			t.Errorf("%s: three bytes of four are %q", dir, got)
		}
		if tok.Bytes(-1) != "" || tok.Bytes(1<<30) != "" {
			t.Errorf("%s: ids outside the vocabulary add something", dir)
		}
	}
}
