package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// object is a JSON object to be damaged.
type object = map[string]any

func readObject(t testing.TB, parts ...string) object {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	o := object{}
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// writeModel writes a model folder of two files and returns its path.
func writeModel(t *testing.T, tokenizer, config any) string {
	t.Helper()
	dir := t.TempDir()
	for name, value := range map[string]any{"tokenizer.json": tokenizer, "tokenizer_config.json": config} {
		data, err := json.Marshal(value)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func first(o object, key string) object { return o[key].([]any)[0].(object) }

func TestLoadRefuses(t *testing.T) {
	model := func(o object) object { return o["model"].(object) }
	for _, c := range []struct {
		name   string
		damage func(tokenizer object)
		want   string // in the error
	}{
		{"unknown key", func(o object) { o["novelty"] = 1 }, `unknown field "novelty"`},
		{"unknown model key", func(o object) { model(o)["novelty"] = 1 }, `model: json: unknown field "novelty"`},
		{"pre_tokenizer", func(o object) { o["pre_tokenizer"] = object{"type": "Metaspace"} }, "pre_tokenizer: Metaspace is not supported"},
		{"normalizer", func(o object) { o["normalizer"] = object{"type": "NFKC"} }, "normalizer: NFKC is not supported"},
		{"inner normalizer", func(o object) { first(o["normalizer"].(object), "normalizers")["type"] = "Strip" },
			"normalizer.normalizers[0]: Strip is not supported"},
		{"regex", func(o object) {
			o["normalizer"] = object{"type": "Replace", "pattern": object{"Regex": " +"}, "content": "▁"}
		}, "normalizer.pattern: Regex is not supported"},
		{"nested sequence", func(o object) { first(o["normalizer"].(object), "normalizers")["type"] = "Sequence" },
			"normalizer.normalizers[0]: a Sequence inside"},
		{"decoder", func(o object) { o["decoder"] = object{"type": "WordPiece"} }, "decoder: WordPiece is not supported"},
		{"decoder order", func(o object) { first(o["decoder"].(object), "decoders")["type"] = "Fuse" },
			"decoder.decoders[0]: Fuse is not supported here (Replace is)"},
		{"decoder strip", func(o object) { o["decoder"].(object)["decoders"].([]any)[3].(object)["stop"] = 1 }, "decoder.decoders[3]: start 1, stop 1"},
		{"model type", func(o object) { model(o)["type"] = "Unigram" }, "model.type: Unigram is not supported"},
		{"no model", func(o object) { delete(o, "model") }, "model: missing"},
		{"dropout", func(o object) { model(o)["dropout"] = 0.1 }, "model.dropout: 0.1"},
		{"prefix", func(o object) { model(o)["continuing_subword_prefix"] = "##" }, "model.continuing_subword_prefix"},
		{"suffix", func(o object) { model(o)["end_of_word_suffix"] = "</w>" }, "model.end_of_word_suffix"},
		{"ignore_merges", func(o object) { model(o)["ignore_merges"] = true }, "model.ignore_merges"},
		{"byte missing", func(o object) { delete(model(o)["vocab"].(object), "<0x7F>") }, `model.byte_fallback: model.vocab lacks "<0x7F>"`},
		{"unk missing", func(o object) { model(o)["byte_fallback"] = false; model(o)["unk_token"] = "<none>" }, `model.unk_token: "<none>"`},
		{"no unk", func(o object) { model(o)["byte_fallback"] = false; model(o)["unk_token"] = nil }, "model.unk_token: null"},
		{"empty vocab", func(o object) { model(o)["vocab"] = object{} }, "model.vocab: missing or empty"},
		{"negative id", func(o object) { model(o)["vocab"].(object)["a"] = -1 }, `model.vocab."a": id -1`},
		{"huge id", func(o object) { model(o)["vocab"].(object)["a"] = 1 << 40 }, `model.vocab."a": id 1099511627776`},
		{"id beyond the file", func(o object) { model(o)["vocab"].(object)["a"] = 1 << 23 }, `model.vocab."a": id 8388608 is out of range`},
		{"endless normalizer", func(o object) {
			o["normalizer"] = object{"type": "Sequence", "normalizers": slices.Repeat([]any{object{"type": "Replace",
				"pattern": object{"String": "a"}, "content": "aa"}}, 5)}
		}, "normalizer: steps that make a text more than 16 times longer"},
		{"long decoder", func(o object) {
			first(o["decoder"].(object), "decoders")["content"] = strings.Repeat("a", 99)
		}, "decoder: steps that make"},
		{"id twice", func(o object) { model(o)["vocab"].(object)["a"] = 4 }, "id 4 is already that of"},
		{"merge of three", func(o object) { model(o)["merges"] = []any{"a b c"} }, "model.merges[0]"},
		{"merge outside", func(o object) { model(o)["merges"] = []any{"a 漢"} }, `model.merges[0]: "漢" is not in model.vocab`},
		{"merge type", func(o object) { model(o)["merges"] = []any{7} }, "model.merges[0]"},
		{"merge of bytes", func(o object) {
			model(o)["vocab"].(object)["<0x41>e"] = 5000
			model(o)["merges"] = []any{"<0x41> e"}
		}, "model.merges[0]: merging byte tokens"},
		{"added id", func(o object) { first(o, "added_tokens")["id"] = 3 }, `added_tokens[0].id: 3 for "<unk>"`},
		{"added twice", func(o object) { o["added_tokens"] = append(o["added_tokens"].([]any), first(o, "added_tokens")) }, "stands twice"},
		{"added empty", func(o object) { first(o, "added_tokens")["content"] = "" }, "added_tokens[0].content: empty"},
		{"added flag type", func(o object) { first(o, "added_tokens")["rstrip"] = "yes" }, "added_tokens.rstrip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := readObject(t, "testdata", "fallback", "tokenizer.json")
			c.damage(o)
			_, err := Load(writeModel(t, o, object{}))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "tokenizer.json") {
				t.Errorf("error %v, want tokenizer.json and %q", err, c.want)
			}
		})
	}
}

func TestLoadRefusesConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(config object)
		want   string
	}{
		{"flag differs", func(o object) { o["added_tokens_decoder"].(object)["2"].(object)["rstrip"] = false }, "added_tokens_decoder.2:"},
		{"token of its own", func(o object) { o["added_tokens_decoder"].(object)["9000"] = object{"content": "<|new|>"} }, "added_tokens_decoder.9000:"},
		{"unknown eos", func(o object) { o["eos_token"] = "<|stop|>" }, `eos_token: "<|stop|>" is not in tokenizer.json`},
		{"eos type", func(o object) { o["eos_token"] = 3 }, "eos_token: 3"},
		{"template syntax", func(o object) { o["chat_template"] = "{% for x in %}" }, "chat_template"},
		{"template list", func(o object) { o["chat_template"] = []any{object{"name": "rag", "template": ""}} }, "none of rag is named default"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := readObject(t, "testdata", "fallback", "tokenizer_config.json")
			c.damage(o)
			_, err := Load(writeModel(t, readObject(t, "testdata", "fallback", "tokenizer.json"), o))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "tokenizer_config.json") {
				t.Errorf("error %v, want tokenizer_config.json and %q", err, c.want)
			}
		})
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "tokenizer.json") {
		t.Errorf("empty folder: error %v", err)
	}
}
