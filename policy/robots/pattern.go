package robots

import "strings"

// pattern is the value of an Allow or Disallow line.
type pattern struct {
	text  string // normal form; its length is the rule's weight
	query string // where it differs: the form with reserved characters of the query encoded
}

// location is what of a URL is matched: path and query in both forms.
type location struct{ path, query string }

func newPattern(value string) pattern {
	text := normalize(value, true)
	return pattern{text, withQueryEncoded(text)}
}

// pathOf is a URL's path with its query, without the fragment; an empty path is "/".
func pathOf(rawURL string) location {
	rest, _, _ := strings.Cut(rawURL, "#")
	if _, after, ok := strings.Cut(rest, "//"); ok && !strings.HasPrefix(rest, "/") {
		rest = after[len(after)-len(strings.TrimLeftFunc(after, func(r rune) bool { return r != '/' && r != '?' })):]
	}
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	path := normalize(rest, false)
	return location{path, withQueryEncoded(path)}
}

// matches reports whether the pattern matches, in the form as written or, as in the RFC's table of 2.2.2, with the query's
// reserved characters encoded: there /foo/bar?baz=https://foo.bar equals /foo/bar?baz=https%3A%2F%2Ffoo.bar.
func (p pattern) matches(at location) bool {
	return glob(p.text, at.path) || (p.query != p.text || at.query != at.path) && glob(p.query, at.query)
}

// glob matches from the beginning of s: "*" stands for any octets, "$" at the end for the end of s. Each piece between two
// stars is taken where it first occurs, which never needs to be taken back: time grows with len(s)+len(pattern).
func glob(pattern, s string) bool {
	pattern, anchored := strings.CutSuffix(pattern, "$")
	piece, pattern, more := strings.Cut(pattern, "*")
	if !strings.HasPrefix(s, piece) {
		return false
	}
	s = s[len(piece):]
	for more {
		piece, pattern, more = strings.Cut(pattern, "*")
		if !more && anchored {
			return strings.HasSuffix(s, piece)
		}
		i := strings.Index(s, piece)
		if i < 0 {
			return false
		}
		s = s[i+len(piece):]
	}
	return !anchored || s == ""
}

const upperHex = "0123456789ABCDEF"

// normalize writes each octet in one way, so that equal ones compare equal (RFC 9309, 2.2.2): percent-encoded unreserved
// characters are decoded, what no URI may hold is encoded, and hex digits are upper-case. Reserved characters stay as they
// are written, so that %2F is not "/". Literal stars and dollars are encoded: %2A in a pattern matches "*" in a path (2.2.3).
func normalize(s string, isPattern bool) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		encode := !unreserved(c) && strings.IndexByte(":/?#[]@!&'()+,;=%", c) < 0
		switch c {
		case '*':
			encode = !isPattern
		case '$':
			encode = !isPattern || i+1 < len(s) // elsewhere than at the end it is literal
		case '%':
			octet, ok := unhex(s[i+1:])
			if !ok {
				break
			}
			c, i, encode = octet, i+2, !unreserved(octet)
		}
		if encode {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// withQueryEncoded encodes the general delimiters (RFC 3986, 2.2) behind the first "?".
func withQueryEncoded(s string) string {
	path, query, ok := strings.Cut(s, "?")
	if !ok || !strings.ContainsAny(query, ":/?[]@") {
		return s
	}
	return path + "?" + queryEncoder.Replace(query)
}

var queryEncoder = strings.NewReplacer(":", "%3A", "/", "%2F", "?", "%3F", "[", "%5B", "]", "%5D", "@", "%40")

func unreserved(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// unhex reads the two hex digits that s begins with.
func unhex(s string) (octet byte, ok bool) {
	if len(s) < 2 {
		return 0, false
	}
	high, low := strings.IndexByte(upperHex, upper(s[0])), strings.IndexByte(upperHex, upper(s[1]))
	return byte(high<<4 | low), high >= 0 && low >= 0
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'f' {
		return c - 0x20
	}
	return c
}
