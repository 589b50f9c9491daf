package quadruple

import (
	"slices"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The characters that are taken by a short cut are those that folding would give.
func TestPlain(t *testing.T) {
	taken := 0
	for r := range rune(unicode.MaxRune) {
		if plain(r) {
			taken++
			folded := []rune(norm.NFKC.String(string(r)))
			if len(folded) != 1 || unicode.In(r, unicode.Cf, unicode.Variation_Selector) || unicode.IsSpace(r) || isLineEnd(r) {
				t.Errorf("%U is not plain: %q", r, folded)
			}
			if got := fold(nil, r); !slices.Equal(got, []rune{unicode.ToLower(folded[0])}) {
				t.Errorf("%U folds to %q", r, got)
			}
		}
	}
	if taken < 20000 {
		t.Errorf("only %d characters", taken)
	}
}
