package tokenizer

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func load(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := Load(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// testdata/make_cases.py wrote the cases with Hugging Face's tokenizers.
func TestReferenceCases(t *testing.T) {
	for _, name := range []string{"fallback", "unk"} {
		t.Run(name, func(t *testing.T) {
			tok := load(t, name)
			for _, c := range readCases(t, filepath.Join("testdata", name, "cases.jsonl")) {
				if !c.DecodeOnly {
					checkEncode(t, tok, c)
				}
				checkDecode(t, tok, c.IDs, false, c.Decoded)
				checkDecode(t, tok, c.IDs, true, c.DecodedSkipSpecial)
			}
		})
	}
}

// The cache and the pool must not show: again, after many other texts, and from several goroutines at once.
func TestEncodeIsAFunction(t *testing.T) {
	tok := load(t, "fallback")
	const text = "機密情報 the quick thequickbrown decision: ALLOW<|end|> \n安全"
	want := tok.Encode(text)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				tok.Encode("q" + strings.Repeat("th", (i*7+g)%20) + strings.Repeat("e", i%23) + strings.Repeat("io", i%11))
				if i%50 == 0 && !slices.Equal(tok.Encode(text), want) {
					t.Error("the same text gave other ids")
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestEncoderCacheIsBounded(t *testing.T) {
	tok := load(t, "fallback")
	e := tok.encoders.New().(*encoder)
	most := 0
	for i := range maxCached + 1000 {
		e.out = e.out[:0]
		e.piece(fmt.Sprint("e", i), 2, -1)
		most = max(most, len(e.cache))
	}
	if most != maxCached || len(e.cache) > 1000 {
		t.Errorf("up to %d pieces cached, %d at the end; the bound is %d", most, len(e.cache), maxCached)
	}
	e.piece(strings.Repeat("e", maxCachedBytes+1), maxCachedBytes+1, -1)
	if e.cache[strings.Repeat("e", maxCachedBytes+1)] != nil {
		t.Error("a long piece was cached")
	}
}

// Lowest rank first, and the leftmost of equal ones.
func TestMergeOrder(t *testing.T) {
	tok, err := parse([]byte(`{"decoder":{"type":"Sequence","decoders":[` +
		`{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},` +
		`{"type":"Strip","content":" ","start":1,"stop":0}]},` +
		`"model":{"type":"BPE","unk_token":"u","vocab":{"u":0,"a":1,"b":2,"aa":3,"ab":4,"bb":5,"abb":6},"merges":["b b","a a","a b","a bb"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]int32{
		"aaa":   {3, 1}, // aa a
		"aab":   {3, 2}, // aa b: rank before place
		"abb":   {6},    // a bb, then abb
		"abbb":  {6, 2}, // bb, of two places the left one
		"aaabb": {3, 6}, // bb, aa, then abb
		"auub":  {1, 0, 0, 2},
	} {
		if got := tok.Encode(text); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// Cutting is for speed only: whole segments give the same ids.
func TestCutsAreExact(t *testing.T) {
	tok := load(t, "fallback")
	whole := tok.encoders.New().(*encoder)
	for _, c := range readCases(t, filepath.Join("testdata", "fallback", "cases.jsonl")) {
		s := normalize(tok.normalizer, strings.ReplaceAll(c.Text, "<", "("))
		if s == "" {
			continue
		}
		whole.out = nil
		whole.merge(s)
		cut := tok.encoders.New().(*encoder)
		cut.segment(s)
		if !slices.Equal(whole.out, cut.out) {
			t.Errorf("%q: whole %v, cut %v", s, whole.out, cut.out)
		}
	}
}

func TestStreamHoldsHalfCharacters(t *testing.T) {
	tok := load(t, "fallback")
	ids := tok.Encode("a𠮷b")
	stream := tok.NewStream(false)
	var texts []string
	for _, id := range ids {
		texts = append(texts, stream.Push(id))
	}
	texts = append(texts, stream.Flush())
	if want := []string{"", "a", "", "", "", "", "𠮷b", ""}; !slices.Equal(trimEmptyFront(texts), trimEmptyFront(want)) {
		t.Errorf("pushes gave %q, want %q", texts, want)
	}
	stream = tok.NewStream(false)
	text := ""
	for _, id := range tok.Encode("𠮷")[:4] { // its last byte is missing
		text += stream.Push(id)
	}
	if text += stream.Flush(); text != strings.Repeat("\uFFFD", 3) {
		t.Errorf("three of four bytes gave %q", text)
	}
}

func trimEmptyFront(texts []string) []string {
	for len(texts) > 0 && texts[0] == "" {
		texts = texts[1:]
	}
	return texts
}

func TestAccessors(t *testing.T) {
	tok := load(t, "fallback")
	id, ok := tok.ID("<|end|>")
	if !ok || int(id) >= tok.VocabSize() {
		t.Fatalf("ID(<|end|>) = %d, %t; VocabSize %d", id, ok, tok.VocabSize())
	}
	if content, ok := tok.Token(id); !ok || content != "<|end|>" {
		t.Errorf("Token(%d) = %q, %t", id, content, ok)
	}
	if _, ok := tok.ID("<|nothing|>"); ok {
		t.Error("ID knows <|nothing|>")
	}
	for _, id := range []int32{-1, int32(tok.VocabSize())} {
		if content, ok := tok.Token(id); ok {
			t.Errorf("Token(%d) = %q", id, content)
		}
		if text := tok.Decode([]int32{id}, false); text != "" {
			t.Errorf("Decode(%d) = %q", id, text)
		}
	}
	if len(tok.Digest()) != 64 || len(tok.TemplateDigest()) != 64 || tok.Digest() == tok.TemplateDigest() {
		t.Errorf("digests %q, %q", tok.Digest(), tok.TemplateDigest())
	}
	if got, want := tok.Encode("a\xffb"), tok.Encode("a\uFFFDb"); !slices.Equal(got, want) {
		t.Errorf("invalid UTF-8 gave %v, want %v", got, want)
	}
}
