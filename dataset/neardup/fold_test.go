package neardup

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// TestNormalAt: what is copied without a look at the tables is what NFKC leaves as it is, whatever stands beside it.
func TestNormalAt(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		c := string(r)
		if normalAt(c) == 0 {
			continue
		}
		if p := norm.NFKC.PropertiesString(c); !p.BoundaryBefore() || norm.NFKC.String(c) != c || normalAt(c) != len(c) {
			t.Fatalf("%U is no normal character", r)
		}
	}
}

// TestNormalise compares with the whole text's NFKC.
func TestNormalise(t *testing.T) {
	alphabet := []rune("aé 、。「かはハヴ！Ａｶﾞﾊﾟ㍻①ﬁ漢字町々〜ー\u3099\u309A\u0301\u0323\u00A0\u3000각\u1100\u1161\u11A8\U0001F4DE\uFFFD")
	r := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "が", "か\u3099", "a\u0301b", "\xff\xe3\x81", "漢\xe3字", "か\xe3\x82\u3099"}
	for range 20000 {
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteRune(alphabet[r.IntN(len(alphabet))])
		}
		texts = append(texts, b.String())
	}
	var s sketch
	for _, text := range texts {
		s.normalise(text)
		if want := norm.NFKC.String(text); string(s.normal) != want {
			t.Fatalf("%+q: %+q, want %+q", text, s.normal, want)
		}
	}
}
