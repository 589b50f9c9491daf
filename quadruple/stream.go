package quadruple

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// End says how a stream ended.
type End string

const (
	Closed    End = "closed"    // by </final>
	Cut       End = "cut"       // before something that may not leave
	Open      End = "open"      // the text ended inside final
	Malformed End = "malformed" // nothing left
)

// Kind is what an Event tells.
type Kind int

const (
	Began Kind = iota // the section's opening tag was read
	Text              // Event.Text belongs to the section
	Ended             // the section is over
)

// Event is something that a piece of text completed. A thinking section's text comes whole, when its element is
// closed; the final's comes as soon as it may leave.
type Event struct {
	Kind    Kind
	Section Section
	Text    string
}

// Stream reads an answer while it is generated. Pieces may be cut anywhere, inside tags and inside characters; the
// events' texts, joined by section, do not depend on the cuts. The zero value is ready.
//
// Nothing of final is released that could still turn out to be part of a tag or another thing that may not leave
// (see guard), nor white space at its two ends, nor bytes of a character that is not whole. Before <final> the form
// must hold as Parse wants it; otherwise nothing is released at all.
type Stream struct {
	head    []byte // not parsed yet, from the present section's beginning or between sections
	scanned int    // bytes of head without a tag
	section Section
	inside  bool
	decided string
	final   guard
	end     End
}

// Answer returns what of a finished text may leave, trimmed; empty if nothing.
func Answer(text string) (answer string, end End) {
	var s Stream
	for _, events := range [][]Event{s.Write(text), s.Close()} {
		answer += Visible(events)
	}
	return answer, s.End()
}

// Visible joins what events release of final.
func Visible(events []Event) (text string) {
	for _, e := range events {
		if e.Kind == Text && e.Section == Final {
			text += e.Text
		}
	}
	return text
}

// End is empty until the stream has ended; what is written afterwards is ignored.
func (s *Stream) End() End { return s.end }

// Decision is the label, empty until think-safety is closed.
func (s *Stream) Decision() string { return s.decided }

// Write takes the next piece and returns what it completes.
func (s *Stream) Write(piece string) (events []Event) {
	if s.end != "" {
		return nil
	}
	if !s.inFinal() {
		s.head = append(s.head, piece...)
		events = s.think(nil)
		if !s.inFinal() {
			return events
		}
		piece, s.head = string(s.head), nil
	}
	return s.release(events, s.final.write(piece))
}

// Close tells that no more text comes.
func (s *Stream) Close() []Event {
	switch {
	case s.end != "":
		return nil
	case !s.inFinal():
		s.end = Malformed
		return nil
	}
	return s.release(nil, s.final.close())
}

func (s *Stream) inFinal() bool { return s.inside && s.section == Final }

func (s *Stream) release(events []Event, text string) []Event {
	if text != "" {
		events = append(events, Event{Text, Final, text})
	}
	if s.end = s.final.end; s.end != "" {
		events = append(events, Event{Ended, Final, ""})
	}
	return events
}

// think parses head as far as it goes before final.
func (s *Stream) think(events []Event) []Event {
	for s.end == "" && !s.inFinal() {
		if !s.inside {
			if !s.enter() {
				break
			}
			events = append(events, Event{Began, s.section, ""})
			continue
		}
		text, ok := s.leave()
		if !ok {
			break
		}
		events = append(events, Event{Text, s.section, text}, Event{Ended, s.section, ""})
		s.section, s.inside = s.section+1, false
	}
	return events
}

// enter skips white space and takes the section's opening tag; false: more text is needed, or the form is broken.
func (s *Stream) enter() bool {
	for len(s.head) > 0 && utf8.FullRune(s.head) {
		r, size := utf8.DecodeRune(s.head)
		if !unicode.IsSpace(r) {
			break
		}
		s.head = s.head[size:]
	}
	opening := []byte(s.section.Opening())
	if rest, ok := bytes.CutPrefix(s.head, opening); ok {
		s.head, s.scanned, s.inside = rest, 0, true
		return true
	}
	if begun := bytes.HasPrefix(opening, s.head) || !utf8.FullRune(s.head); !begun {
		s.end = Malformed
	}
	return false
}

// leave takes the section's text and closing tag; false: more text is needed, or the form is broken.
func (s *Stream) leave() (text string, ok bool) {
	for {
		i := bytes.IndexByte(s.head[s.scanned:], '<')
		if i < 0 {
			s.scanned = len(s.head)
			return "", false
		}
		s.scanned += i
		tag, begun := tagAt(s.head[s.scanned:])
		switch {
		case tag == s.section.Closing():
			text = string(s.head[:s.scanned])
			s.head = s.head[s.scanned+len(tag):]
			return text, s.accept(text)
		case tag != "":
			s.end = Malformed
			return "", false
		case begun:
			return "", false
		}
		s.scanned++
	}
}

// accept notes what later text is held against; false: think-safety decides nothing.
func (s *Stream) accept(text string) bool {
	if s.section == ThinkSafety {
		if s.decided = decisionOf(text); s.decided == "" {
			s.end = Malformed
			return false
		}
	}
	if s.section != ThinkTask {
		for _, line := range guardedLines(text) {
			s.final.echoes = append(s.final.echoes, newEcho(line))
		}
	}
	return true
}

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
