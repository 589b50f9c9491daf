package tokenizer

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// EncodeSpans encodes text and marks the tokens that overlap one of the spans, which are byte offsets in the order in which
// the template's {% generation %} blocks ended: transformers' return_assistant_tokens_mask.
func (t *Tokenizer) EncodeSpans(text string, spans [][2]int) (ids []int32, inSpan []bool, err error) {
	if !utf8.ValidString(text) {
		return nil, nil, errors.New("the rendered conversation is not UTF-8")
	}
	ids, offsets := t.encodeOffsets(text)
	inSpan = make([]bool, len(ids))
	at := 0
	for i, o := range offsets { // spans and tokens are walked through once, as transformers does
		for at < len(spans) && o[0] >= spans[at][1] {
			at++
		}
		if at == len(spans) {
			break
		}
		inSpan[i] = o[1] > spans[at][0]
	}
	return ids, inSpan, nil
}

// encodeOffsets is Encode with the bytes of text that each token stands for, as tokenizers gives them: what a normalizer
// puts before a segment belongs to its first character, what it replaces to the character replaced.
func (t *Tokenizer) encodeOffsets(text string) (ids []int32, offsets [][2]int) {
	e := t.encoders.Get().(*encoder)
	defer t.encoders.Put(e)
	e.out = nil
	emit := func(id int32, begin, end int) {
		e.out = append(e.out, id)
		offsets = append(offsets, [2]int{begin, end})
	}
	t.added.cut(text, func(start, stop int) {
		normalized, origin := t.normalizeAligned(text[start:stop])
		whole := func(begin, end int) (int, int) {
			if begin >= end {
				return start, start
			}
			return start + origin[begin][0], start + origin[end-1][1]
		}
		t.addedNorm.cut(normalized, func(begin, end int) {
			first := len(e.out)
			e.segment(normalized[begin:end])
			for _, id := range e.out[first:] {
				n := t.length(id, normalized[begin:end])
				from, to := whole(begin, begin+n)
				offsets = append(offsets, [2]int{from, to})
				begin += n
			}
		}, func(id int32, begin, end int) {
			begin, end = whole(begin, end)
			emit(id, begin, end)
		})
	}, emit)
	ids = e.out
	e.out = nil
	return ids, offsets
}

// length is how many bytes of normalised text the token id at its front takes.
func (t *Tokenizer) length(id int32, text string) int {
	if id == t.bpe.unk && !t.bpe.byteFallback {
		n := 0
		for _, r := range text {
			if n > 0 && !t.bpe.fuseUnk || t.bpe.runes.get(r) >= 0 {
				break
			}
			n += utf8.RuneLen(r)
		}
		return max(n, 1)
	}
	if content := t.pieces[id].text; strings.HasPrefix(text, content) {
		return len(content)
	}
	return 1 // a byte token
}

// normalizeAligned is normalize with the original bytes, begin and end, of each normalised one.
func (t *Tokenizer) normalizeAligned(s string) (string, [][2]int) {
	origin := make([][2]int, 0, len(s))
	for i, r := range s {
		for range utf8.RuneLen(r) {
			origin = append(origin, [2]int{i, i + utf8.RuneLen(r)})
		}
	}
	for _, step := range t.normalizer {
		switch {
		case step.old != "":
			s, origin = replaceAligned(s, origin, step.old, step.new)
		case s != "":
			before := make([][2]int, len(step.prepend), len(step.prepend)+len(origin))
			for i := range before {
				before[i] = origin[0]
			}
			s, origin = step.prepend+s, append(before, origin...)
		}
	}
	return s, origin
}

func replaceAligned(s string, origin [][2]int, old, with string) (string, [][2]int) {
	var b strings.Builder
	var out [][2]int
	for {
		at := strings.Index(s, old)
		if at < 0 {
			b.WriteString(s)
			return b.String(), append(out, origin...)
		}
		b.WriteString(s[:at] + with)
		out = append(out, origin[:at]...)
		for range len(with) {
			out = append(out, origin[at+len(old)-1])
		}
		s, origin = s[at+len(old):], origin[at+len(old):]
	}
}
