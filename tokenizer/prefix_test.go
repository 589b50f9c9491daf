package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// EncodePrefixes gives what Encode gives for the text and for each prefix alone.
func TestEncodePrefixes(t *testing.T) {
	parts := []string{"<|end|>", "<|user|>", "<|assistant|>", "<s>", "</s>", "<|end", "|>", " ", "\n", "  ", "the quick", "漢字", "𠮷", "a", "\u3000", "\xe3", "\x81"}
	for _, name := range []string{"fallback", "unk"} {
		tok := load(t, name)
		for content := range tok.declared {
			parts = append(parts, content)
		}
		slices.Sort(parts)
		r := rand.New(rand.NewPCG(1, 2))
		own, other := 0, 0
		for range 2000 {
			var b strings.Builder
			for range r.IntN(12) {
				b.WriteString(parts[r.IntN(len(parts))])
			}
			text := b.String()
			var prefixes []int
			for range 5 {
				prefixes = append(prefixes, r.IntN(len(text)+1))
			}
			ids, lengths := tok.EncodePrefixes(text, prefixes...)
			if !slices.Equal(ids, tok.Encode(text)) {
				t.Fatalf("%s: %q: %v, Encode %v", name, text, ids, tok.Encode(text))
			}
			for i, prefix := range prefixes {
				want := tok.Encode(text[:prefix])
				length := len(want)
				if length > len(ids) || !slices.Equal(want, ids[:length]) {
					length = -1
					other++
				} else {
					own++
				}
				if lengths[i] != length {
					t.Fatalf("%s: %q of %q: %d, want %d: %v of %v", name, text[:prefix], text, lengths[i], length, want, ids)
				}
			}
		}
		if own < 1000 || other < 1000 {
			t.Errorf("%s: %d prefixes are the first ids, %d are not", name, own, other)
		}
	}
}
