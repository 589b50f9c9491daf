package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
)

// line is a record as it is read back. Its texts are parts of the line that was parsed.
type line struct {
	seq, synced, last uint64
	at                time.Time
	kind, id, model   []byte
	reasoning         []byte
	file, hash, prev  []byte
}

const (
	sumKey    = `","crc":"`
	sumLength = len(sumKey + `00000000"}`)
)

var errNoRecord = errors.New("no record")

// parse reads a line without its line end. It tells what is wrong with the line itself, not whether the chain holds.
func parse(text []byte) (*line, error) {
	cut := len(text) - sumLength
	if cut < 0 || !bytes.HasPrefix(text[cut:], []byte(sumKey)) || !bytes.HasSuffix(text, []byte(`"}`)) {
		return nil, errNoRecord
	}
	cut += len(sumKey)
	var sum [8]byte
	hex.Encode(sum[:], binary.BigEndian.AppendUint32(nil, crc32.Checksum(text[:cut], castagnoli)))
	if got := text[cut : cut+8]; !bytes.Equal(got, sum[:]) {
		return nil, fmt.Errorf("its checksum is %q, computed %s", got, sum)
	}
	var l line
	version := uint64(0)
	for rest, more := text[1:], true; more; {
		var key, value []byte
		var err error
		if key, value, rest, err = field(rest); err != nil {
			return nil, err
		}
		if err := l.set(&version, string(key), value); err != nil {
			return nil, err
		}
		more = len(rest) > 0 && rest[0] == ','
		if more {
			rest = rest[1:]
		}
	}
	switch {
	case version != formatVersion:
		return nil, fmt.Errorf("version %d of the format, known is %d", version, formatVersion)
	case l.synced >= l.seq:
		return nil, errors.New("synced is not a record before it")
	}
	return &l, nil
}

// set takes in a field. Those of no concern to the chain and the report are passed over.
func (l *line) set(version *uint64, key string, value []byte) (err error) {
	switch key {
	case "v":
		*version, err = strconv.ParseUint(string(value), 10, 64)
	case "seq":
		l.seq, err = strconv.ParseUint(string(value), 10, 64)
	case "last":
		l.last, err = strconv.ParseUint(string(value), 10, 64)
	case "synced":
		l.synced, err = strconv.ParseUint(string(value), 10, 64)
	case "time":
		if l.at, err = time.Parse(`"`+timeLayout+`"`, string(value)); err != nil {
			err = errors.New("its time is no UTC time with microseconds")
		}
	case "kind":
		l.kind, err = unquote(value)
	case "id":
		l.id, err = unquote(value)
	case "model":
		l.model, err = unquote(value)
	case "reasoning":
		l.reasoning, err = unquote(value)
	case "file":
		l.file, err = unquote(value)
	case "hash":
		l.hash, err = unquote(value)
	case "prev":
		l.prev, err = unquote(value)
	}
	return err
}

// field reads "key":value at the front of an object's rest.
func field(text []byte) (key, value, rest []byte, err error) {
	n := stringLength(text)
	if n == 0 || n >= len(text) || text[n] != ':' {
		return nil, nil, nil, errNoRecord
	}
	key, text = text[1:n-1], text[n+1:]
	n = valueLength(text)
	if n == 0 || n >= len(text) || text[n] != ',' && text[n] != '}' {
		return nil, nil, nil, errNoRecord
	}
	return key, text[:n], text[n:], nil
}

// stringLength is that of the JSON string at the front of text, with its quotes; 0 if there is none.
func stringLength(text []byte) int {
	if len(text) == 0 || text[0] != '"' {
		return 0
	}
	for i := 1; i < len(text); i++ {
		j := bytes.IndexByte(text[i:], '"')
		if j < 0 {
			return 0
		}
		escape := bytes.IndexByte(text[i:i+j], '\\')
		if escape < 0 {
			return i + j + 1
		}
		i += escape + 1 // the escaped character
	}
	return 0
}

// valueLength is that of the JSON value at the front of text; 0 if there is none.
func valueLength(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			n := stringLength(text[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return 0
}

func unquote(value []byte) ([]byte, error) {
	if n := stringLength(value); n == 0 || n != len(value) {
		return nil, errNoRecord
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1], nil
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return nil, errNoRecord
	}
	return []byte(text), nil
}

// follows says why l, whose text is given, is not the record behind h; otherwise it returns the new head.
func (l *line) follows(h head, text []byte) (head, error) {
	if l.seq != h.seq+1 {
		return h, fmt.Errorf("record %d where %d belongs", l.seq, h.seq+1)
	}
	var want [2 * len(digest{})]byte
	hex.Encode(want[:], h.hash[:])
	if !bytes.Equal(l.prev, want[:]) {
		return h, fmt.Errorf("record %d names %q as the hash of the line before, computed %s", l.seq, l.prev, want)
	}
	return head{l.seq, sha256.Sum256(text)}, nil
}
