package guard

import "so8t/quadruple/ahocorasick"

// stop ends a visible text before the first stop string that is complete in it, and holds back what may become one. Pieces
// may be cut anywhere. The zero value stops nothing.
type stop struct {
	matcher *ahocorasick.Matcher
	held    []byte
	found   bool
}

func newStop(texts []string) stop {
	if len(texts) == 0 {
		return stop{}
	}
	return stop{matcher: ahocorasick.New(texts)}
}

// write takes visible text and returns what of it may leave now. Nothing may once a stop string was found.
func (s *stop) write(text string) string {
	switch {
	case s.found:
		return ""
	case s.matcher == nil:
		return text
	}
	before := len(s.held)
	s.held = append(s.held, text...)
	for i := range len(text) {
		if n := s.matcher.Step(text[i]); n > 0 {
			s.found = true
			return s.let(before + i + 1 - n)
		}
	}
	return s.let(len(s.held) - s.matcher.Pending())
}

// close returns what was held back and has not become a stop string.
func (s *stop) close() string {
	if s.found {
		return ""
	}
	return s.let(len(s.held))
}

func (s *stop) let(n int) string {
	text := string(s.held[:n])
	s.held = s.held[n:]
	return text
}
