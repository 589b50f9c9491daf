package neardup

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

func TestFold(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""}, {" \n\t ", ""}, {" A  b\r\n\u3000c ", "a b c"}, {"ＡＢＣ１２３！", "abc123!"}, {"ﾊﾟｰﾃｨｰ", "パーティー"}, {"e\u0301É", "éé"}, {"Σ Ж", "σ ж"},
		{"㍿", "株式会社"}, {"a\xffB", "a\xffb"}, {"漢字\u00a0かな", "漢字 かな"},
	} {
		var b sketch
		if b.fold(c[0]); string(b.folded) != c[1] {
			t.Errorf("%q gave %q, want %q", c[0], b.folded, c[1])
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	letters := []rune("aB \n　Ａéß漢かﾊﾟ́Ж゛")
	for range 2000 {
		text := randomText(r, letters, r.IntN(40))
		want := strings.Join(strings.FieldsFunc(strings.Map(unicode.ToLower, norm.NFKC.String(text)), unicode.IsSpace), " ")
		var b sketch
		if b.fold(text); string(b.folded) != want {
			t.Fatalf("%q gave %q, want %q", text, b.folded, want)
		}
	}
}

func randomText(r *rand.Rand, letters []rune, n int) string {
	var b strings.Builder
	for range n {
		b.WriteRune(letters[r.IntN(len(letters))])
	}
	return b.String()
}

// shingles is the set of 5-grams, worked out the plain way.
func shingles(text string) map[string]bool {
	var b sketch
	b.fold(text)
	runes := bytes.Runes(b.folded)
	set := map[string]bool{}
	for i := range max(1, len(runes)-4) {
		set[string(runes[i:min(len(runes), i+5)])] = true
	}
	return set
}

func jaccard(a, b map[string]bool) float64 {
	both := 0
	for s := range a {
		if b[s] {
			both++
		}
	}
	return float64(both) / float64(len(a)+len(b)-both)
}

// The estimate's error is that of 128 independent permutations, whatever the texts' length: no bias, variance J(1−J)/128.
func TestEstimateKeepsToTheory(t *testing.T) {
	letters := []rune("abcdefghijklmnop 漢字仮名交文章在庫表最新版共有")
	for _, length := range []int{25, 120, 1500} {
		for _, want := range []float64{0.5, 0.6, 0.7, 0.8, 0.9, 0.95} {
			r := rand.New(rand.NewPCG(uint64(length), uint64(100*want)))
			const pairs = 500
			var bias, squares, variance float64
			for range pairs {
				// Texts with one stretch in common: J = common/(2·length − common).
				common := int(math.Round(2 * float64(length) * want / (1 + want)))
				middle := randomText(r, letters, common)
				a, b := middle+randomText(r, letters, length-common), middle+randomText(r, letters, length-common)
				j := jaccard(shingles(a), shingles(b))
				sa, sb := Of(a), Of(b)
				off := sa.Similarity(&sb) - j
				bias += off / pairs
				squares += off * off / pairs
				variance += j * (1 - j) / permutations / pairs
			}
			// Within five standard errors of no bias; the variance within a tenth and five of its own standard errors.
			if limit := 5 * math.Sqrt(variance/pairs); math.Abs(bias) > limit {
				t.Errorf("length %d, J %.2f: bias %.4f, theory allows %.4f", length, want, bias, limit)
			}
			if ratio := squares / variance; ratio > 1.1+5*math.Sqrt(2.0/pairs) {
				t.Errorf("length %d, J %.2f: variance %.2f times that of theory", length, want, ratio)
			}
		}
	}
}

// Repetitions change nothing, however many.
func TestRepetitions(t *testing.T) {
	a, b := Of(strings.Repeat("漢字かな", 5)), Of(strings.Repeat("漢字かな", 50_000))
	if a != b {
		t.Errorf("similarity %v of texts with the same shingles", a.Similarity(&b))
	}
}

func TestShortTexts(t *testing.T) {
	a, b, c := Of("はい。"), Of(" はい。\n"), Of("いいえ")
	if a != b || a.Similarity(&c) != 0 {
		t.Errorf("equal texts %v, others %v", a.Similarity(&b), a.Similarity(&c))
	}
	if none := Of(""); none != Of(" \n") || none.Similarity(&a) != 0 {
		t.Error("empty texts")
	}
}

func BenchmarkOf(b *testing.B) {
	for name, text := range map[string]string{
		"english":  strings.Repeat("The latest version of the stock list is in the shared folder. ", 20),
		"japanese": strings.Repeat("在庫表の最新版は、共有フォルダーの「在庫」にあります。機密情報（２０２５年）は公開できません！\n", 12),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				Of(text)
			}
		})
	}
}
