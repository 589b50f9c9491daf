package quadruple

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"so8t/quadruple/ahocorasick"
)

// final releases the text behind <final> up to the first of
//   - </final>,
//   - a look-alike of a tag (lookalike),
//   - a decision line (decisionLine),
//   - a line of the thinking, word for word (ahocorasick.Matcher),
//
// and holds back what may still become one of them. Each is an automaton over the characters, so that a piece costs no
// more than its length however much text is held back. Positions count bytes from <final>.
type final struct {
	text     []byte // from byte base: what left is dropped
	base     int
	read     int // given to the automata: whole characters
	looked   int // looked at for white space
	ink      int // end of the last character before looked that is no white space
	released int

	closing int // bytes of </final> matched
	tag     lookalike
	line    decisionLine
	echo    ahocorasick.Matcher
	folded  []rune // of the character that is read

	found    bool // something ends the text, at cut
	cut      int
	cutEnd   End
	tagWaits bool // "</final": the next character decides whether it is the end or a look-alike
	tagStart int
	end      End
}

var finalClosing = Final.Closing()

// guard sets the lines that may not leave.
func (f *final) guard(lines []string) {
	if len(lines) > 0 {
		f.echo = *ahocorasick.New(lines)
	}
}

func (f *final) write(piece string) string {
	f.text = append(f.text, piece...)
	for f.end == "" && f.read < f.base+len(f.text) && utf8.FullRune(f.text[f.read-f.base:]) {
		f.step()
	}
	return f.release()
}

// close releases what was held back and has not become anything; a tag of two characters or more that had begun is
// dropped.
func (f *final) close() string {
	if f.line.labelled() {
		f.stop(f.line.start, Cut)
	}
	if f.tagWaits {
		f.stop(f.tagStart, Cut)
	}
	if f.tag.seen >= 2 {
		f.stop(f.tag.start, Open)
	}
	f.tag, f.line, f.tagWaits, f.echo = lookalike{}, decisionLine{dead: true}, false, ahocorasick.Matcher{}
	if f.end = Open; f.found {
		f.end = f.cutEnd
	}
	return f.release()
}

// stop notes that the text ends at byte at; of several ends the first counts.
func (f *final) stop(at int, how End) {
	if !f.found || at < f.cut {
		f.found, f.cut, f.cutEnd = true, at, how
	}
}

// step reads one character.
func (f *final) step() {
	start := f.read
	r, size := utf8.DecodeRune(f.text[start-f.base:])
	f.read += size
	f.stepClosing(r)
	if idle := f.tag.seen == 0 && f.line.dead; !idle || !plain(r) {
		f.stepFolded(r, start)
	}
	for i, b := range f.text[start-f.base : f.read-f.base] {
		if n := f.echo.Step(b); n > 0 {
			f.stop(start+i+1-n, Cut)
		}
	}
	if f.found && f.pending() >= f.cut {
		f.end = f.cutEnd
	}
}

// stepClosing looks for </final>. Until its last character it is a look-alike too.
func (f *final) stepClosing(r rune) {
	switch {
	case r == rune(finalClosing[f.closing]):
		if f.closing++; f.closing == len(finalClosing) {
			f.closing, f.tagWaits = 0, false
			f.stop(f.read-len(finalClosing), Closed)
		}
	case r == rune(finalClosing[0]):
		f.closing = 1
	default:
		f.closing = 0
	}
	if f.tagWaits {
		f.tagWaits = false
		f.stop(f.tagStart, Cut)
	}
}

// stepFolded looks for look-alikes and decision lines.
func (f *final) stepFolded(r rune, start int) {
	f.folded = fold(f.folded[:0], r)
	for _, c := range f.folded {
		if f.tag.step(c, start) {
			if f.closing == len(finalClosing)-1 {
				f.tagWaits, f.tagStart = true, f.tag.start
			} else {
				f.stop(f.tag.start, Cut)
			}
			f.tag = lookalike{}
		}
		if f.line.step(c) {
			f.stop(f.line.start, Cut)
		}
	}
	if isLineEnd(r) {
		f.line = decisionLine{start: f.read}
	}
}

// pending is where the earliest of what may still end the text begins.
func (f *final) pending() int {
	at := f.read - f.echo.Pending()
	if f.tag.seen > 0 {
		at = min(at, f.tag.start)
	}
	if f.tagWaits {
		at = min(at, f.tagStart)
	}
	if !f.line.dead {
		at = min(at, f.line.start)
	}
	return at
}

// release returns what may leave now. The bound never falls: whatever is pending was pending when it was read.
func (f *final) release() string {
	bound := f.pending()
	if f.found {
		bound = min(bound, f.cut)
	}
	for f.looked < bound {
		r, size := utf8.DecodeRune(f.text[f.looked-f.base:])
		if f.looked+size > bound { // a line of the thinking may begin with a part of a character
			break
		}
		if f.looked += size; !unicode.IsSpace(r) {
			f.ink = f.looked
		}
	}
	if f.ink <= f.released {
		return ""
	}
	visible := f.text[f.released-f.base : f.ink-f.base]
	if f.released == 0 {
		visible = bytes.TrimSpace(visible)
	}
	text := string(visible)
	f.released = f.ink
	f.drop()
	return text
}

// drop gives up the text that has left, once it is the greater part: what stays is moved less than once a byte.
func (f *final) drop() {
	if gone := f.released - f.base; gone > len(f.text)/2 {
		f.text = append(f.text[:0], f.text[gone:]...)
		f.base = f.released
	}
}
