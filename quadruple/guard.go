package quadruple

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// guard releases the text of final up to the first of
//   - </final>,
//   - a look-alike of a tag (lookalike),
//   - a decision line (decider),
//   - a guarded line of thinking, word for word (echo),
//
// and holds back what may still become one of them. Each is an automaton over the characters, so that a piece costs
// no more than its length however long text is held back.
type guard struct {
	text     []byte
	read     int // bytes of text given to the automata: whole characters
	looked   int // bytes looked at for white space
	ink      int // end of the last character of text[:looked] that is no white space
	released int

	closing int // bytes of </final> matched
	tag     lookalike
	line    decider
	echoes  []*echo
	folded  []rune // of the character that is read

	found    bool // something ends the text, at cut
	cut      int
	cutEnd   End
	tagWaits bool // "</final": the next character decides whether it is the end or a look-alike
	tagStart int
	end      End
}

func (g *guard) write(piece string) string {
	g.text = append(g.text, piece...)
	for g.end == "" && g.read < len(g.text) && utf8.FullRune(g.text[g.read:]) {
		g.step()
	}
	return g.release()
}

// close releases what was held back and has not become anything; a tag of two characters or more that had begun
// is dropped.
func (g *guard) close() string {
	if g.line.labelled() {
		g.stop(g.line.start, Cut)
	}
	if g.tagWaits {
		g.stop(g.tagStart, Cut)
	}
	if g.tag.seen >= 2 {
		g.stop(g.tag.start, Open)
	}
	g.tag, g.line, g.echoes = lookalike{}, decider{dead: true}, nil
	if g.end = Open; g.found {
		g.end = g.cutEnd
	}
	return g.release()
}

// stop notes that the text ends at byte at; of several ends the first counts.
func (g *guard) stop(at int, how End) {
	if !g.found || at < g.cut {
		g.found, g.cut, g.cutEnd = true, at, how
	}
}

// step reads one character.
func (g *guard) step() {
	start := g.read
	r, size := utf8.DecodeRune(g.text[start:])
	g.read += size
	waited := g.tagWaits
	g.tagWaits = false
	if closing := Final.Closing(); r == rune(closing[g.closing]) {
		if g.closing++; g.closing == len(closing) {
			g.closing, waited = 0, false
			g.stop(g.read-len(closing), Closed)
		}
	} else if g.closing = 0; r == rune(closing[0]) {
		g.closing = 1
	}
	if waited {
		g.stop(g.tagStart, Cut)
	}
	g.folded = fold(g.folded[:0], r)
	for _, c := range g.folded {
		if g.tag.step(c, start) {
			if g.closing == len(Final.Closing())-1 {
				g.tagWaits, g.tagStart = true, g.tag.start
			} else {
				g.stop(g.tag.start, Cut)
			}
			g.tag = lookalike{}
		}
		if g.line.step(c) {
			g.stop(g.line.start, Cut)
		}
	}
	if isLineEnd(r) {
		g.line = decider{start: g.read}
	}
	for _, e := range g.echoes {
		for _, b := range g.text[start:g.read] {
			if e.step(b) {
				g.stop(g.read-len(e.line), Cut)
			}
		}
	}
	if g.found && g.pending() >= g.cut {
		g.end = g.cutEnd
	}
}

// pending is where the earliest of what may still end the text begins.
func (g *guard) pending() int {
	at := g.read
	if g.tag.seen > 0 {
		at = min(at, g.tag.start)
	}
	if g.tagWaits {
		at = min(at, g.tagStart)
	}
	if !g.line.dead {
		at = min(at, g.line.start)
	}
	for _, e := range g.echoes {
		at = min(at, g.read-e.matched)
	}
	return at
}

// release returns what may leave now. The bound never falls: whatever is pending was pending when it was read.
func (g *guard) release() string {
	bound := g.pending()
	if g.found {
		bound = min(bound, g.cut)
	}
	for g.looked < bound {
		r, size := utf8.DecodeRune(g.text[g.looked:])
		if g.looked += size; !unicode.IsSpace(r) {
			g.ink = g.looked
		}
	}
	if g.ink <= g.released {
		return ""
	}
	text := g.text[g.released:g.ink]
	if g.released == 0 {
		text = bytes.TrimSpace(text)
	}
	g.released = g.ink
	return string(text)
}
