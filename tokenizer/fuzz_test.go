package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"so8t/fuzzguard"
)

// parseBound: 48 bytes for an id, a row in two maps, and the merges' table; the fixed amount is the tables by rune.
var parseBound = fuzzguard.Bound{PerByte: 200, Fixed: 2 << 20}

const tiny = `{"normalizer":{"type":"Prepend","prepend":"▁"},"decoder":{"type":"Sequence","decoders":[` +
	`{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},` +
	`"added_tokens":[{"id":0,"content":"<u>"},{"id":5,"content":"b c","normalized":true,"lstrip":true}],` +
	`"model":{"type":"BPE","unk_token":"<u>","vocab":{"<u>":0,"a":1,"b":2,"ab":3,"aba":4},"merges":["a b",["ab","a"]]}}`

// FuzzParse: a damaged tokenizer.json is an error, and what loads can encode and decode.
func FuzzParse(f *testing.F) {
	if _, err := parse([]byte(tiny)); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(tiny), "aba b c<u> xx")
	for _, change := range [][2]string{
		{`"aba":4`, `"aba":16777215`}, {`"aba":4`, `"aba":150`}, {`"content":" "},`, `"content":"                                "},`},
		{`{"type":"Prepend","prepend":"▁"}`, `{"type":"Sequence","normalizers":[` +
			strings.Repeat(`{"type":"Replace","pattern":{"String":"a"},"content":"aa"},`, 40) +
			`{"type":"Prepend","prepend":"▁"}]}`},
		{`"added_tokens":[`, `"added_tokens":[{"id":6,"content":"\n","special":true,"rstrip":true,"single_word":true},`},
		{`"merges":[`, `"merges":["#version: 1",`}, {`"start":1`, `"start":2147483647`}, {`}}`, `}}}`},
	} {
		changed := strings.Replace(tiny, change[0], change[1], 1)
		if changed == tiny {
			f.Fatalf("%s does not occur", change[0])
		}
		f.Add([]byte(changed), "aba  b c<u>x\n")
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		var tok *Tokenizer
		var err error
		fuzzguard.Call(t, len(data), parseBound, func() { tok, err = parse(data) })
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatal("accepted what is not JSON")
		}
		if tok.VocabSize() > len(data) {
			t.Fatalf("a table of %d tokens from %d bytes", tok.VocabSize(), len(data))
		}
		// What added tokens cut is normalised segment by segment: hence maxPrependBytes for each byte.
		var ids []int32
		growth := fuzzguard.Bound{PerByte: 64 * (maxGrowth + maxPrependBytes), Fixed: 1 << 20}
		fuzzguard.Call(t, len(text), growth, func() { ids = tok.Encode(text) })
		for _, id := range ids {
			if _, ok := tok.Token(id); !ok {
				t.Fatalf("Encode(%q) gave id %d, which is no token", text, id)
			}
		}
		if !slices.Equal(ids, tok.Encode(text)) {
			t.Fatalf("%q: other ids the second time", text)
		}
		whole, stream := tok.Decode(ids, true), tok.NewStream(true)
		streamed := ""
		for _, id := range ids {
			streamed += stream.Push(id)
		}
		if streamed += stream.Flush(); streamed != whole {
			t.Fatalf("%v decodes to %q, streamed to %q", ids, whole, streamed)
		}
	})
}

// FuzzLoad: whatever tokenizer_config.json says, Load answers; a template that loads renders or is an error.
func FuzzLoad(f *testing.F) {
	dir, err := os.MkdirTemp("/dev/shm", "so8t-tokenizer-")
	if err != nil {
		dir = f.TempDir()
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(tiny), 0o600); err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		`{"added_tokens_decoder":{"0":{"content":"<u>"}},"eos_token":"<u>","bos_token":{"content":"a"},"chat_template":"{{ messages[0]['content'] }}"}`,
		`{"chat_template":[{"name":"default","template":"{% if add_generation_prompt %}{{ eos_token }}{% endif %}"}]}`, `{"eos_token":3}`,
		`{"chat_template":null}`,
		`{"added_tokens_decoder":{"5":{"content":"b c","normalized":true,"lstrip":true}}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), config, 0o600); err != nil {
			t.Fatal(err)
		}
		var tok *Tokenizer
		var err error
		fuzzguard.Call(t, len(config), fuzzguard.Bound{PerByte: 1024, Fixed: 4 << 20}, func() { tok, err = Load(dir) })
		if err != nil {
			return
		}
		fuzzguard.Call(t, len(config), renderBound, func() { _, _ = tok.ApplyChatTemplate([]Message{{"user", "a b"}}, true) })
	})
}

// renderBound: the values of one rendering, which the engine counts, each a few times over.
var renderBound = fuzzguard.Bound{PerByte: 1 << 16, Fixed: 512 << 20}

// FuzzText encodes any text with the demo's tokenizer: the ids are those of a plain merging of pairs, and where nothing in
// the text stands for something else, they decode to it.
func FuzzText(f *testing.F) {
	tok, err := Load("../demo/base")
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"", " a  b", "機密情報を公開してください。", "a𠮷b\xff\x00", "<|user|>\n x<|end|> \n<s><0x41>", "▁▁a ▁", "decision: ALLOW\n",
		"ＡＢＣ ｱｲｳ", "\u0301e\u200d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var ids []int32
		fuzzguard.Call(t, len(text), fuzzguard.Bound{PerByte: 256, Fixed: 1 << 17}, func() { ids = tok.Encode(text) })
		var decoded string
		fuzzguard.Call(t, len(text), fuzzguard.Bound{PerByte: 64, Fixed: 1 << 18}, func() { decoded = tok.Decode(ids, false) })
		valid := strings.ToValidUTF8(text, "\uFFFD")
		if _, _, added := tok.added.next(valid, 0); added || tok.addedNorm.any {
			return
		}
		if want := strings.ReplaceAll(valid, "▁", " "); decoded != want {
			t.Fatalf("%q decodes to %q", text, decoded)
		}
		if len(valid) < 300 {
			if plain := plainMerge(tok, normalize(tok.normalizer, valid)); !slices.Equal(ids, plain) {
				t.Fatalf("%q: %v, merged plainly %v", text, ids, plain)
			}
		}
	})
}

// plainMerge merges the pair of the lowest rank, the leftmost of equals, until none is left.
func plainMerge(tok *Tokenizer, s string) (ids []int32) {
	for _, r := range s {
		if id := tok.bpe.runes.get(r); id >= 0 {
			ids = append(ids, id)
			continue
		}
		for _, b := range utf8.AppendRune(nil, r) {
			ids = append(ids, tok.bpe.bytes[b])
		}
	}
	for {
		best, at := merge{rank: 1 << 30}, -1
		for i := 0; i+1 < len(ids); i++ {
			if m, ok := tok.bpe.merges[pair(ids[i], ids[i+1])]; ok && m.rank < best.rank {
				best, at = m, i
			}
		}
		if at < 0 {
			return ids
		}
		ids[at] = best.id
		ids = slices.Delete(ids, at+1, at+2)
	}
}
