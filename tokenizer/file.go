package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
)

// fileJSON is tokenizer.json. Parts with a type of their own stay raw until that type is known.
type fileJSON struct {
	Version       json.RawMessage `json:"version"`
	Truncation    json.RawMessage `json:"truncation"` // set by each call; transformers resets it
	Padding       json.RawMessage `json:"padding"`    // likewise
	AddedTokens   []addedJSON     `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"` // adds bos and eos; Encode adds none
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

type addedJSON struct {
	ID         int64  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type modelJSON struct {
	Type         string            `json:"type"`
	Dropout      *float64          `json:"dropout"`
	UnkToken     *string           `json:"unk_token"`
	Prefix       *string           `json:"continuing_subword_prefix"`
	Suffix       *string           `json:"end_of_word_suffix"`
	FuseUnk      bool              `json:"fuse_unk"`
	ByteFallback bool              `json:"byte_fallback"`
	IgnoreMerges bool              `json:"ignore_merges"`
	Vocab        map[string]int64  `json:"vocab"`
	Merges       []json.RawMessage `json:"merges"`
}

// parse builds a Tokenizer without its chat template. Errors begin with the key concerned.
func parse(data []byte) (*Tokenizer, error) {
	var f fileJSON
	if err := strict(data, &f); err != nil {
		return nil, err
	}
	if !isNull(f.PreTokenizer) {
		return nil, fmt.Errorf("pre_tokenizer: %s is not supported (null is)", typeName(f.PreTokenizer))
	}
	t := &Tokenizer{digest: digestOf(data)}
	var err error
	if t.normalizer, err = parseNormalizer("normalizer", f.Normalizer); err != nil {
		return nil, err
	}
	if err := checkGrowth("normalizer", t.normalizer); err != nil {
		return nil, err
	}
	if t.decoder, err = parseDecoder(f.Decoder); err != nil {
		return nil, err
	}
	if err := checkGrowth("decoder", []normalizeStep{{old: t.decoder.old, new: t.decoder.new}}); err != nil {
		return nil, err
	}
	m, err := parseModel(f.Model)
	if err != nil {
		return nil, err
	}
	if err := t.setVocab(m.Vocab, len(data)); err != nil {
		return nil, err
	}
	if t.bpe, err = newBPE(m, t.ids); err != nil {
		return nil, err
	}
	if err := t.addTokens(f.AddedTokens, len(m.Vocab)); err != nil {
		return nil, err
	}
	t.decoder.prepare(t.pieces)
	t.encoders.New = func() any { return &encoder{bpe: t.bpe, cache: map[string][]int32{}} }
	return t, nil
}

func parseModel(raw json.RawMessage) (*modelJSON, error) {
	if isNull(raw) {
		return nil, fmt.Errorf("model: missing")
	}
	if name := typeName(raw); name != "BPE" {
		return nil, fmt.Errorf("model.type: %s is not supported (BPE is)", name)
	}
	m := &modelJSON{}
	if err := strict(raw, m); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	switch {
	case m.Dropout != nil && *m.Dropout != 0:
		return nil, fmt.Errorf("model.dropout: %v is not supported (null is)", *m.Dropout)
	case m.Prefix != nil && *m.Prefix != "":
		return nil, fmt.Errorf("model.continuing_subword_prefix: %q is not supported (null is)", *m.Prefix)
	case m.Suffix != nil && *m.Suffix != "":
		return nil, fmt.Errorf("model.end_of_word_suffix: %q is not supported (null is)", *m.Suffix)
	case m.IgnoreMerges:
		return nil, fmt.Errorf("model.ignore_merges: true is not supported (false is)")
	case len(m.Vocab) == 0:
		return nil, fmt.Errorf("model.vocab: missing or empty")
	}
	return m, nil
}

// setVocab fills ids and pieces from the model's vocabulary. The table of pieces is as long as the largest id; an id
// beyond the file's length in bytes, of which each entry takes several, is refused, so that a small file cannot
// allocate gigabytes.
func (t *Tokenizer) setVocab(vocab map[string]int64, fileBytes int) error {
	contents := make([]string, 0, len(vocab))
	size := int64(0)
	for content, id := range vocab {
		contents = append(contents, content)
		if id < int64(fileBytes) {
			size = max(size, id+1)
		}
	}
	t.pieces = make([]piece, 0, size)
	sort.Strings(contents) // the same error for the same file
	t.ids = make(map[string]int32, len(vocab))
	for _, content := range contents {
		id := vocab[content]
		if id < 0 || id >= int64(fileBytes) {
			return fmt.Errorf("model.vocab.%q: id %d is out of range", content, id)
		}
		if other, taken := t.Token(int32(id)); taken {
			return fmt.Errorf("model.vocab.%q: id %d is already that of %q", content, id, other)
		}
		t.setPiece(int32(id), content)
	}
	return nil
}

func (t *Tokenizer) setPiece(id int32, content string) {
	for int(id) >= len(t.pieces) {
		t.pieces = append(t.pieces, piece{byteVal: -1})
	}
	t.pieces[id] = piece{text: content, byteVal: -1, known: true}
	t.ids[content] = id
}

// addTokens registers the added tokens under the ids that Hugging Face gives them: the
// vocabulary's id where the content stands there, else the next free one. The file's own "id" must agree.
func (t *Tokenizer) addTokens(tokens []addedJSON, vocabLen int) error {
	next := int64(vocabLen)
	t.declared = make(map[string]addedJSON, len(tokens))
	for i, a := range tokens {
		key := fmt.Sprintf("added_tokens[%d]", i)
		if a.Content == "" {
			return fmt.Errorf("%s.content: empty", key)
		}
		if _, twice := t.declared[a.Content]; twice {
			return fmt.Errorf("%s.content: %q stands twice", key, a.Content)
		}
		t.declared[a.Content] = a
		want := next
		if id, ok := t.ids[a.Content]; ok {
			want = int64(id)
		} else if other, taken := t.Token(int32(next)); taken {
			return fmt.Errorf("%s.id: %d is already that of %q (model.vocab has gaps)", key, next, other)
		}
		if a.ID != want {
			return fmt.Errorf("%s.id: %d for %q, but its place in the vocabulary is %d", key, a.ID, a.Content, want)
		}
		next = max(next, want+1)
		if _, ok := t.ids[a.Content]; !ok {
			t.setPiece(int32(want), a.Content)
		}
		token := addedToken{content: a.Content, id: int32(want), singleWord: a.SingleWord, lstrip: a.LStrip, rstrip: a.RStrip}
		if !a.Normalized {
			t.pieces[want].special = a.Special
			t.added.add(token)
			continue
		}
		if token.content = normalize(t.normalizer, a.Content); token.content == "" {
			return fmt.Errorf("%s.content: %q is empty once normalised", key, a.Content)
		}
		// tokenizers decodes such a token to its normalised form, and in that form no longer finds it
		// among the special ones unless the two are the same.
		t.pieces[want].text = token.content
		t.pieces[want].special = a.Special && token.content == a.Content
		t.addedNorm.add(token)
	}
	t.added.sort()
	t.addedNorm.sort()
	return nil
}

// strict decodes one JSON value and refuses unknown keys and trailing data.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the end of the JSON value")
	}
	return nil
}

func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

// typeName is the "type" of a part, or the JSON itself where it has none.
func typeName(raw json.RawMessage) string {
	var part struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(raw, &part) != nil || part.Type == "" {
		return fmt.Sprintf("%.60s", raw)
	}
	return part.Type
}
