package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// parser reads one row.
type parser struct {
	*Reader
	decoder *jsontext.Decoder // checks a row
	inner   *jsontext.Decoder // reads values of a checked row
	buffer  bytes.Buffer
	members []member
	extra   []string // columns inside of lists that nothing reads
	folded  string   // the label, where it had to be folded
}

// member is a key of an object, and its value.
type member struct {
	name   []byte
	value  jsontext.Value
	key    string  // the column it is, where it is one
	of     *member // else the member that it is in,
	index  int     // and its place there, where that is a list
	read   bool
	opened bool
	inside []member // once opened
}

// path is how a fault names a member: messages[2].content.
func (m *member) path() string {
	switch {
	case m.of == nil:
		return m.key
	case m.name == nil:
		return fmt.Sprintf("%s[%d]", m.of.path(), m.index)
	}
	return fmt.Sprintf("%s.%.40s", m.of.path(), m.name)
}

var parsers = sync.Pool{New: func() any {
	p := &parser{}
	p.decoder = jsontext.NewDecoder(&p.buffer)
	p.inner = jsontext.NewDecoder(&p.buffer, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return p
}}

func (p *parser) release() {
	clear(p.members) // they point into the row
	p.buffer = bytes.Buffer{}
	*p = parser{decoder: p.decoder, inner: p.inner, buffer: p.buffer, members: p.members[:0], extra: p.extra[:0]}
	parsers.Put(p)
}

// open reads a row's members and checks all of it.
func (p *parser) open(row []byte) *fault {
	p.buffer = *bytes.NewBuffer(row)
	p.decoder.Reset(&p.buffer)
	members, err := readMembers(p.decoder, p.members)
	p.members = members
	if err == nil {
		if _, err = p.decoder.ReadToken(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			return &fault{InvalidJSON, fmt.Sprintf("more follows the object, at byte %d", p.decoder.InputOffset())}
		}
	}
	var object errNoObject
	var syntactic *jsontext.SyntacticError
	switch {
	case !utf8.Valid(row):
		return &fault{reason: InvalidUTF8}
	case len(bytes.TrimSpace(row)) == 0:
		return &fault{reason: BlankLine}
	case errors.As(err, &object):
		return wrongType(&member{key: "the line", value: jsontext.Value(object)})
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntactic):
		return &fault{DuplicateKey, quoted(syntactic.JSONPointer.LastToken())}
	case errors.As(err, &syntactic):
		return &fault{InvalidJSON, fmt.Sprintf("at byte %d", syntactic.ByteOffset)}
	}
	return &fault{reason: InvalidJSON}
}

// errNoObject is a value that is no object.
type errNoObject jsontext.Value

func (e errNoObject) Error() string { return "no object" }

// readMembers appends the members of the object that follows.
func readMembers(d *jsontext.Decoder, members []member) ([]member, error) {
	if kind := d.PeekKind(); kind != '{' {
		value, err := d.ReadValue()
		if err == nil {
			err = errNoObject(value)
		}
		return members, err
	}
	if _, err := d.ReadToken(); err != nil {
		return members, err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return members, err
		}
		name = unquote(name)
		value, err := d.ReadValue()
		if err != nil {
			return members, err
		}
		members = append(members, member{name: name, value: value})
	}
	_, err := d.ReadToken()
	return members, err
}

// unquote returns the text of a valid JSON string, of the string's own bytes where nothing is escaped.
func unquote(value jsontext.Value) []byte {
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	text, _ := jsontext.AppendUnquote(make([]byte, 0, len(value)), value)
	return text
}

// inside opens an object of a checked row.
func (p *parser) inside(m *member) []member {
	if !m.opened {
		m.opened = true
		p.buffer = *bytes.NewBuffer(m.value)
		p.inner.Reset(&p.buffer)
		m.inside, _ = readMembers(p.inner, nil)
	}
	return m.inside
}

// elements lists the values of an array of a checked row.
func (p *parser) elements(m *member) []member {
	p.buffer = *bytes.NewBuffer(m.value)
	p.inner.Reset(&p.buffer)
	var list []member
	for p.inner.ReadToken(); p.inner.PeekKind() != ']'; {
		value, err := p.inner.ReadValue()
		if err != nil {
			break
		}
		list = append(list, member{value: value, of: m, index: len(list)})
	}
	return list
}

// member returns a key of an object; nil where it has none.
func keyOf(members []member, name string) *member {
	for i := range members {
		if string(members[i].name) == name {
			return &members[i]
		}
	}
	return nil
}

// at follows a path of keys with dots between. A key that holds the dots itself comes first.
func (p *parser) at(members []member, path string) *member {
	if m := keyOf(members, path); m != nil {
		return m
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if m := keyOf(members, path[:i]); m != nil && m.value.Kind() == '{' {
			if m := p.at(p.inside(m), path[i+1:]); m != nil {
				return m
			}
		}
	}
	return nil
}

// find returns the column of a field: the first with a value of those that the options map it to, else of the keys. nil
// where there is none, or null.
func (p *parser) find(field string, keys []string) *member {
	at := keyOf
	if columns := p.columns[field]; len(columns) > 0 {
		keys, at = columns, p.at
	}
	for _, key := range keys {
		m := at(p.members, key)
		if m == nil {
			continue
		}
		m.key = key
		if m.value.Kind() != 'n' {
			return m
		}
		m.read = true // null says nothing, under a known name
	}
	return nil
}

// take is find, for a field that is read whatever the form.
func (p *parser) take(field string, keys ...string) *member {
	m := p.find(field, keys)
	if m != nil {
		m.read = true
	}
	return m
}

// text is the text of a member, empty where there is none.
func (p *parser) text(m *member) (string, *fault) {
	if m == nil {
		return "", nil
	}
	m.read = true
	if m.value.Kind() != '"' {
		return "", wrongType(m)
	}
	return string(unquote(m.value)), nil
}

// unknown counts the columns that nothing has read, or refuses them.
func (p *parser) unknown(seen *Seen) *fault {
	refuse := p.UnknownColumns == "refuse"
	if seen == nil && !refuse {
		return nil
	}
	return p.unknownOf(p.members, "", func(column string) *fault {
		if refuse {
			return &fault{UnknownField, quoted(column)}
		}
		count(&seen.UnknownColumns, column, 1)
		return nil
	})
}

func (p *parser) unknownOf(members []member, prefix string, tell func(column string) *fault) *fault {
	for i := range members {
		m := &members[i]
		var f *fault
		switch {
		case m.read:
		case m.opened:
			f = p.unknownOf(m.inside, prefix+string(m.name)+".", tell)
		default:
			f = tell(prefix + string(m.name))
		}
		if f != nil {
			return f
		}
	}
	if prefix != "" {
		return nil
	}
	for _, column := range p.extra {
		if f := tell(column); f != nil {
			return f
		}
	}
	return nil
}

// unread counts a bad row's columns that no form reads: a misspelt name stands among them.
func (p *parser) unread(seen *Seen) {
	for i := range p.members {
		if name := string(p.members[i].name); !p.known[name] {
			count(&seen.UnknownColumns, name, 1)
		}
	}
}

// passOver notes a key inside of a list that nothing reads.
func (p *parser) passOver(list string, name []byte) {
	column := strings.TrimSpace(list + "[]." + string(name))
	if !slices.Contains(p.extra, column) && len(p.extra) < maxSeen {
		p.extra = append(p.extra, column)
	}
}
