package jinja

// text is an argument that must be a string.
func (s *state) text(f string, v value) string {
	t, ok := text(v)
	if !ok {
		s.defined(v)
		s.fail("%s: a string is needed, not %s", f, typeName(v))
	}
	return t
}

// textOr is an argument that may be left out.
func (s *state) textOr(f string, v value, otherwise string) string {
	if v == missing {
		return otherwise
	}
	return s.text(f, v)
}

func (s *state) integer(f string, v value) int64 {
	i, ok := integer(v)
	if !ok {
		s.defined(v)
		s.fail("%s: an integer is needed, not %s", f, typeName(v))
	}
	return i
}

func (s *state) integerOr(f string, v value, otherwise int64) int64 {
	if v == missing {
		return otherwise
	}
	return s.integer(f, v)
}

func (s *state) truthOr(v value, otherwise bool) bool {
	if v == missing {
		return otherwise
	}
	return s.truth(v)
}

// strings makes a list of strings of the type of v.
func (s *state) strings(v value, parts []string) *list {
	s.items(2 * len(parts))
	l := &list{make([]value, len(parts))}
	for i, part := range parts {
		l.items[i] = same(v, part)
	}
	return l
}
