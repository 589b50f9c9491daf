package source

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// valueReader cuts a text into the elements of a JSON array, or into JSON values that follow one another. It finds only
// where a value ends; whether it is valid JSON is for the record's reader to say.
type valueReader struct {
	r     *bufio.Reader
	max   int // bytes of a value
	array bool
	begun bool  // the array's first bracket has been read
	ended bool  // the array's last bracket has been read
	start int64 // where in the text r begins
	taken int64 // bytes since
	end   int64 // taken before the array's last bracket
	count int64 // values in the text so far
}

// errCut is a text that ends in its middle.
var errCut = fmt.Errorf("its end is missing: %w", io.ErrUnexpectedEOF)

// next appends a value to dst; of one that is too long, nothing. io.EOF means that no value is left.
func (v *valueReader) next(dst []byte) (_ []byte, tooLong bool, err error) {
	c, err := v.peek()
	if v.array {
		if c, err = v.separator(c, err); v.ended && err == nil {
			return dst, false, fmt.Errorf("at byte %d, more text follows the array", v.start+v.taken)
		}
		if errors.Is(err, io.EOF) && !v.ended {
			return dst, false, errCut
		}
	}
	if err != nil {
		return dst, false, err
	}
	if c == ',' || c == ']' || c == '}' {
		return dst, false, fmt.Errorf("at byte %d, behind record %d, a record was expected, not %q", v.start+v.taken, v.count, c)
	}
	v.count++
	return v.value(dst)
}

// separator reads an array's bracket or comma, c, and returns what follows it.
func (v *valueReader) separator(c byte, err error) (byte, error) {
	switch {
	case err != nil || v.ended:
		return c, err
	case c == '[' && !v.begun:
		v.begun = true
		v.take(1)
		if c, err = v.peek(); c != ']' || err != nil {
			return c, err
		}
		fallthrough
	case c == ']':
		v.ended, v.end = true, v.taken
		v.take(1)
		return v.peek()
	case c == ',':
		v.take(1)
		return v.peek()
	}
	return c, fmt.Errorf("at byte %d, behind record %d, a comma was expected, not %q", v.start+v.taken, v.count, c)
}

// offset is where reading can go on. The end of an array is read again.
func (v *valueReader) offset() int64 {
	if v.ended {
		return v.end
	}
	return v.taken
}

func (v *valueReader) take(n int) {
	v.r.Discard(n)
	v.taken += int64(n)
}

// peek passes over white space, record separators (RFC 7464) and byte order marks, and returns the byte that follows.
func (v *valueReader) peek() (byte, error) {
	for {
		b, err := v.r.Peek(1)
		if err != nil {
			return 0, err
		}
		switch b[0] {
		case ' ', '\t', '\r', '\n', 0x1E:
			v.take(1)
		case byteOrderMark[0]:
			if b, _ := v.r.Peek(len(byteOrderMark)); string(b) != string(byteOrderMark) {
				return byteOrderMark[0], nil
			}
			v.take(len(byteOrderMark))
		default:
			return b[0], nil
		}
	}
}

// value copies the value that begins here.
func (v *valueReader) value(dst []byte) (_ []byte, tooLong bool, err error) {
	start, length, n := len(dst), 0, nesting{}
	for {
		if _, err := v.r.Peek(1); errors.Is(err, io.EOF) && n.depth == 0 && !n.inString {
			return dst, tooLong, nil // a number or a word
		} else if errors.Is(err, io.EOF) {
			return dst[:start], false, errCut
		} else if err != nil {
			return dst[:start], false, err
		}
		chunk, _ := v.r.Peek(v.r.Buffered())
		took, ended := n.scan(chunk)
		if length += took; length <= v.max {
			dst = append(dst, chunk[:took]...)
		} else {
			dst, tooLong = dst[:start], true
		}
		v.take(took)
		if ended {
			return dst, tooLong, nil
		}
	}
}

// nesting is how deep in a JSON value a reader is.
type nesting struct {
	depth             int
	inString, escaped bool
}

// scan reads on in a value, and returns how many bytes are part of it, and whether it ends there.
func (s *nesting) scan(chunk []byte) (n int, ended bool) {
	for i, c := range chunk {
		switch {
		case s.escaped:
			s.escaped = false
		case s.inString && c == '\\':
			s.escaped = true
		case c == '"':
			if s.inString = !s.inString; !s.inString && s.depth == 0 {
				return i + 1, true
			}
		case s.inString:
		case c == '{' || c == '[':
			s.depth++
		case (c == '}' || c == ']') && s.depth > 0:
			if s.depth--; s.depth == 0 {
				return i + 1, true
			}
		case s.depth == 0 && (c == ',' || c == ']' || c == '}' || c == ' ' || c == '\n' || c == '\r' || c == '\t'):
			return i, true // behind a number or a word
		}
	}
	return len(chunk), false
}
