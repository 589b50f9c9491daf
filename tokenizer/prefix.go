package tokenizer

import (
	"slices"
	"strings"
)

// EncodePrefixes returns the ids of text, as Encode does, and the length in ids of each of its prefixes, given in bytes:
// −1 where Encode of the prefix alone is not what the ids begin with.
//
// A prefix is encoded anew only behind the last added token that it has in common with the text: text between added
// tokens is encoded on its own.
func (t *Tokenizer) EncodePrefixes(text string, prefixes ...int) (ids []int32, lengths []int) {
	e := t.encoders.Get().(*encoder)
	defer t.encoders.Put(e)
	e.out = make([]int32, 0, len(text)/3+4)
	whole := t.segments(text)
	ends := make([]int, len(whole)) // ids up to the end of each segment
	for i, s := range whole {
		t.encodeSegment(e, s)
		ends[i] = len(e.out)
	}
	ids, lengths = e.out, make([]int, len(prefixes))
	for i, prefix := range prefixes {
		own := t.segments(text[:prefix])
		common, length := 0, 0
		for common < min(len(own), len(whole)) && own[common] == whole[common] {
			length = ends[common]
			common++
		}
		e.out = nil
		for _, s := range own[common:] {
			t.encodeSegment(e, s)
		}
		if lengths[i] = length + len(e.out); lengths[i] > len(ids) || !slices.Equal(e.out, ids[length:lengths[i]]) {
			lengths[i] = -1
		}
	}
	e.out = nil
	return ids, lengths
}

// segment is a stretch of raw text between added tokens, or one of these where text is empty.
type segment struct {
	text string
	id   int32
}

func (t *Tokenizer) segments(text string) (all []segment) {
	t.added.cut(text, func(s string) { all = append(all, segment{text: s}) }, func(id int32) { all = append(all, segment{id: id}) })
	return all
}

func (t *Tokenizer) encodeSegment(e *encoder, s segment) {
	if s.text == "" {
		e.emit(s.id)
		return
	}
	t.addedNorm.cut(normalize(t.normalizer, strings.ToValidUTF8(s.text, "\uFFFD")), e.segment, e.emit)
}
