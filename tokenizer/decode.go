package tokenizer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder is Sequence[Replace, ByteFallback, Fuse, Strip] of tokenizer.json.
type decoder struct {
	old, new string // Replace in every token
	strip    rune   // cut from the front of the whole …
	maxStrip int    // … at most this many times
}

func parseDecoder(raw json.RawMessage) (d decoder, err error) {
	if typeName(raw) != "Sequence" {
		return d, fmt.Errorf("decoder: %s is not supported (Sequence of Replace, ByteFallback, Fuse, Strip is)", typeName(raw))
	}
	var sequence partJSON
	if err := strict(raw, &sequence); err != nil {
		return d, fmt.Errorf("decoder: %w", err)
	}
	want := []string{"Replace", "ByteFallback", "Fuse", "Strip"}
	if len(sequence.Decoders) != len(want) {
		return d, fmt.Errorf("decoder.decoders: %d parts are not supported (Replace, ByteFallback, Fuse, Strip are)", len(sequence.Decoders))
	}
	for i, inner := range sequence.Decoders {
		key := fmt.Sprintf("decoder.decoders[%d]", i)
		if name := typeName(inner); name != want[i] {
			return d, fmt.Errorf("%s: %s is not supported here (%s is)", key, name, want[i])
		}
		var part partJSON
		if err := strict(inner, &part); err != nil {
			return d, fmt.Errorf("%s: %w", key, err)
		}
		switch part.Type {
		case "Replace":
			d.old, err = part.Pattern.literal(key)
			d.new = part.Content
		case "Strip":
			r, n := utf8.DecodeRuneInString(part.Content)
			if part.Stop != 0 || part.Start < 0 {
				return d, fmt.Errorf("%s: start %d, stop %d is not supported (stop 0 is)", key, part.Start, part.Stop)
			}
			if n == 0 || n != len(part.Content) {
				return d, fmt.Errorf("%s.content: %q is not one character", key, part.Content)
			}
			d.strip, d.maxStrip = r, part.Start
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

// prepare computes what each id adds to a text.
func (d decoder) prepare(pieces []piece) {
	for i := range pieces {
		p := &pieces[i]
		p.decoded = strings.ReplaceAll(p.text, d.old, d.new)
		p.byteVal = byteValue(p.decoded)
	}
}

// byteValue parses <0xNN>; -1 for any other text.
func byteValue(token string) int16 {
	if len(token) != 6 || token[:3] != "<0x" || token[5] != '>' {
		return -1
	}
	v, err := strconv.ParseUint(token[3:5], 16, 8)
	if err != nil {
		return -1
	}
	return int16(v)
}

// Decode returns the text of ids. skipSpecial leaves out the special added tokens; ids outside the vocabulary add nothing.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	s := t.NewStream(skipSpecial)
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(s.Push(id))
	}
	b.WriteString(s.Flush())
	return b.String()
}

// Bytes is what a token adds to a text: for a byte token that byte, though it may be part of a character. It knows nothing
// of the tokens before: a leading character that Decode strips is still there, and a run of byte tokens that is not UTF-8
// stays as it is, where Decode has U+FFFD for each. An id outside the vocabulary adds nothing.
func (t *Tokenizer) Bytes(id int32) string {
	if id < 0 || int(id) >= len(t.pieces) || !t.pieces[id].known {
		return ""
	}
	p := &t.pieces[id]
	if p.byteVal >= 0 {
		return string([]byte{byte(p.byteVal)})
	}
	return p.decoded
}

// Stream decodes ids one at a time. The texts that Push and Flush return add up to exactly
// what Decode returns for all the ids.
//
// A run of byte tokens is held back until another token ends it: Hugging Face decodes such a run as
// a whole, to U+FFFD for each byte if any part of it is not UTF-8.
type Stream struct {
	t           *Tokenizer
	skipSpecial bool
	bytes       []byte // a run of byte tokens
	stripped    int    // characters taken off the front so far
	begun       bool   // the front has been stripped
}

// NewStream returns an empty Stream.
func (t *Tokenizer) NewStream(skipSpecial bool) *Stream {
	return &Stream{t: t, skipSpecial: skipSpecial}
}

// Push takes the next id and returns the text that later ids cannot change, possibly none.
func (s *Stream) Push(id int32) string {
	if id < 0 || int(id) >= len(s.t.pieces) {
		return ""
	}
	p := &s.t.pieces[id]
	if !p.known || s.skipSpecial && p.special {
		return ""
	}
	if p.byteVal >= 0 {
		s.bytes = append(s.bytes, byte(p.byteVal))
		return ""
	}
	if len(s.bytes) == 0 {
		return s.front(p.decoded)
	}
	return s.front(s.run() + p.decoded)
}

// Flush ends the stream and returns the rest.
func (s *Stream) Flush() string { return s.front(s.run()) }

// run returns the text of the byte tokens held back.
func (s *Stream) run() string {
	text := string(s.bytes)
	if !utf8.ValidString(text) {
		text = strings.Repeat("\uFFFD", len(s.bytes))
	}
	s.bytes = s.bytes[:0]
	return text
}

// front strips the decoder's leading characters, which may come in several pushes.
func (s *Stream) front(text string) string {
	for !s.begun && text != "" {
		d := s.t.decoder
		r, n := utf8.DecodeRuneInString(text)
		if s.stripped == d.maxStrip || r != d.strip {
			s.begun = true
			break
		}
		text = text[n:]
		s.stripped++
	}
	return text
}
