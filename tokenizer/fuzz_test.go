package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
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
		if unbounded.Match(config) {
			return
		}
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

// renderBound: ranges of 100,000 numbers, each of which the engine boxes, and what may be written.
var renderBound = fuzzguard.Bound{PerByte: 1 << 16, Fixed: 256 << 20}

// unbounded is what the engine does at once for a short text: repeat it, pad it, or raise to a power. No bound of
// this package lies between; transformers has none there either.
var unbounded = regexp.MustCompile(`\*|[0-9]{4}|[0-9]e|0x|\\u00|lipsum|(?s:(%[-+]?\s*for.*){3})`)

// FuzzTemplate: whatever the template, it is refused or ends, with a text or an error.
func FuzzTemplate(f *testing.F) {
	for _, name := range []string{"testdata/fallback", "../demo/base"} {
		f.Add(readObject(f, name, "tokenizer_config.json")["chat_template"].(string), "user", "質問\n")
	}
	for _, text := range []string{
		"{%- for m in messages -%}\n    {% if m.role == 'user' %}\n[{{ m.content | trim }}]\n    {% endif %}\n{% endfor %}\n{{ bos_token }}\n",
		"{% set x = namespace(a=1) %}{% for i in range(3) %}{% set x.a = x.a + i %}{% endfor %}{{ x.a }}", "{{ raise_exception('no') }}",
		"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{% block a %}{{ self.a() }}{% endblock %}",
		"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
		"{% include '/chat_template' %}", "{% extends '/chat_template' %}", "{% for i in range(999) %}{% for j in range(999) %}a{% endfor %}{% endfor %}",
		"{{ messages[1:][::-1] | tojson }}{{ 'a' if 1 is defined else [] }}", "{{ (((((1))))) }}{# c #}{% raw %}{{{% endraw %}",
		"{{ messages[0].content.split(' ')[-1] ~ 1 // 0 }}",
	} {
		f.Add(text, "user", "a b")
	}
	f.Fuzz(func(t *testing.T, template, role, content string) {
		if unbounded.MatchString(template) || len(template) > 4096 || len(role)+len(content) > 256 {
			return
		}
		var c chat
		var err error
		fuzzguard.Call(t, len(template), fuzzguard.Bound{PerByte: 4096, Fixed: 1 << 20}, func() { err = c.parse("t", template, nil) })
		if err != nil || template == "" {
			return
		}
		tok := &Tokenizer{chat: chat{source: c.source, template: c.template, special: map[string]string{"bos_token": "<s>"}}}
		fuzzguard.Call(t, len(template)+len(role)+len(content), renderBound, func() {
			text, err := tok.ApplyChatTemplate([]Message{{role, content}, {"assistant", content}}, true)
			if most := 32*(len(role)+len(content)+9) + maxTemplateBytes; err == nil && len(text) > most {
				t.Errorf("%d bytes of text, the bound is %d", len(text), most)
			}
		})
	})
}

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
