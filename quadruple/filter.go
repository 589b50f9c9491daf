package quadruple

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// End says how a text ended.
type End string

const (
	Closed    End = "closed"    // by </final>
	Cut       End = "cut"       // before something that may not leave
	Open      End = "open"      // the text ended inside final
	Malformed End = "malformed" // nothing left
)

// Filter lets through what may leave of a model's text: the text inside <final>, and of that nothing that tells of the
// thinking (see final). A text may be written whole or in pieces, cut anywhere, inside tags and inside characters: what
// leaves is the same. The zero value is ready.
//
// Nothing is released that could still turn out to be part of a tag or another thing that may not leave, nor white space
// at the answer's two ends, nor bytes of a character that is not whole. Before <final> the form must hold as Parse wants
// it; otherwise nothing is released at all. The cost of a piece is proportional to its length, whatever is held back.
type Filter struct {
	head    []byte // what stands before <final>
	at      int    // bytes of head that are parsed: the section's text begins there, or white space between sections
	scanned int    // bytes of head that hold no tag of the section's
	section Section
	inside  bool
	decided string
	lines   []string // of the thinking, that final must not repeat
	final   final
	end     End
}

// Answer returns what may leave of a finished text; empty if nothing.
func Answer(text string) (answer string, end End) {
	var f Filter
	answer = f.Write(text) + f.Close()
	return answer, f.End()
}

// End is empty until the text has ended; what is written afterwards is ignored.
func (f *Filter) End() End { return f.end }

// Decision is the label that think-safety states, empty until its element is closed.
func (f *Filter) Decision() string { return f.decided }

// Opened reports whether <final> has been read: the thinking is complete.
func (f *Filter) Opened() bool { return f.inside && f.section == Final }

// Thinking is what was read before <final>, or all of it where there is none. It is the filter's own memory.
func (f *Filter) Thinking() []byte {
	before, _, _ := bytes.Cut(f.head, finalOpening)
	return before
}

// Forget overwrites the thinking. The lines that final must not repeat stay with the filter.
func (f *Filter) Forget() {
	clear(f.head[:cap(f.head)])
	f.head, f.at, f.scanned = nil, 0, 0
}

// Write takes the next piece and returns what may leave now.
func (f *Filter) Write(piece string) (visible string) {
	if f.end != "" {
		return ""
	}
	if f.Opened() {
		return f.release(f.final.write(piece))
	}
	f.head = append(f.head, piece...)
	if f.think(); !f.Opened() {
		return ""
	}
	visible = f.release(f.final.write(string(f.head[f.at:])))
	f.head = f.head[:f.at-len(finalOpening)]
	return visible
}

// Close tells that no more text comes, and returns what was held back and may leave.
func (f *Filter) Close() (visible string) {
	switch {
	case f.end != "":
		return ""
	case !f.Opened():
		f.end = Malformed
		return ""
	}
	return f.release(f.final.close())
}

func (f *Filter) release(text string) string {
	f.end = f.final.end
	return text
}

// think parses head as far as it goes before final.
func (f *Filter) think() {
	for f.end == "" && !f.Opened() {
		if !f.inside {
			if !f.enter() {
				return
			}
			continue
		}
		text, ok := f.leave()
		if !ok {
			return
		}
		f.accept(text)
		f.section, f.inside = f.section+1, false
	}
	if f.end == "" {
		f.final.guard(f.lines)
	}
}

// enter skips white space and takes the section's opening tag; false: more text is needed, or the form is broken.
func (f *Filter) enter() bool {
	for f.at < len(f.head) && utf8.FullRune(f.head[f.at:]) {
		r, size := utf8.DecodeRune(f.head[f.at:])
		if !unicode.IsSpace(r) {
			break
		}
		f.at += size
	}
	opening, rest := openings[f.section], f.head[f.at:]
	if bytes.HasPrefix(rest, opening) {
		f.at += len(opening)
		f.scanned, f.inside = f.at, true
		return true
	}
	if begun := bytes.HasPrefix(opening, rest) || !utf8.FullRune(rest); !begun {
		f.end = Malformed
	}
	return false
}

// leave takes the section's text and closing tag; false: more text is needed, or the form is broken.
func (f *Filter) leave() (text []byte, ok bool) {
	for {
		i := bytes.IndexByte(f.head[f.scanned:], '<')
		if i < 0 {
			f.scanned = len(f.head)
			return nil, false
		}
		f.scanned += i
		tag, begun := tagAt(f.head[f.scanned:])
		switch {
		case tag == f.section.Closing():
			text = f.head[f.at:f.scanned]
			f.at = f.scanned + len(tag)
			return text, true
		case tag != "":
			f.end = Malformed
			return nil, false
		case begun:
			return nil, false
		}
		f.scanned++
	}
}

// accept notes what final is held against. A think-safety that decides nothing ends the text.
func (f *Filter) accept(text []byte) {
	if f.section == ThinkTask {
		return
	}
	if f.section == ThinkSafety {
		if f.decided = decisionOf(string(text)); f.decided == "" {
			f.end = Malformed
		}
	}
	f.lines = append(f.lines, guardedLines(string(text))...)
}

var (
	finalOpening = []byte(Final.Opening())
	openings     = [4][]byte{[]byte(ThinkTask.Opening()), []byte(ThinkSafety.Opening()), []byte(ThinkPolicy.Opening()), finalOpening}
)

// tagAt is the tag that text begins with; begun: text may be the beginning of one.
func tagAt(text []byte) (tag string, begun bool) {
	for _, t := range tags {
		if bytes.HasPrefix(text, []byte(t)) {
			return t, false
		}
		begun = begun || len(text) < len(t) && t[:len(text)] == string(text)
	}
	return "", begun
}
