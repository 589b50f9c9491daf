package source

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// rowJSON builds the JSON objects of the rows of a table. Its methods panic with errRowTooLong once a row is longer than maxRow.
type rowJSON struct {
	buf   []byte
	start int // of the row in buf
}

var errRowTooLong = errors.New("row too long")

// row runs build, and reports whether the row is not too long. One that is leaves nothing behind.
func (w *rowJSON) row(build func()) (ok bool) {
	w.start = len(w.buf)
	defer func() {
		switch r := recover(); r {
		case nil:
		case errRowTooLong:
			w.buf, ok = w.buf[:w.start], false
		default:
			panic(r)
		}
	}()
	build()
	return true
}

func (w *rowJSON) raw(text string) {
	w.buf = append(w.buf, text...)
	w.check(0)
}

// check holds the row within its bound, more bytes included.
func (w *rowJSON) check(more int) {
	if len(w.buf)-w.start+more > maxRow {
		panic(errRowTooLong)
	}
}

// text writes a string. Bytes that are not valid UTF-8 stay as they are, for the record's reader to see.
func (w *rowJSON) text(s []byte) {
	w.check(len(s))
	w.buf = append(w.buf, '"')
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && s[j] >= ' ' && s[j] != '"' && s[j] != '\\' {
			j++
		}
		w.buf = append(w.buf, s[i:j]...)
		if i = j; i == len(s) {
			break
		}
		switch c := s[i]; c {
		case '"', '\\':
			w.buf = append(w.buf, '\\', c)
		case '\n':
			w.buf = append(w.buf, '\\', 'n')
		default:
			w.buf = fmt.Appendf(w.buf, `\u%04x`, c)
		}
		i++
	}
	w.buf = append(w.buf, '"')
	w.check(0)
}

// binary writes bytes of a column that has no encoding: as text, if they are. Else it panics with an error that names the column.
func (w *rowJSON) binary(s []byte, column string) {
	if !utf8.Valid(s) {
		panic(&Error{fmt.Errorf("column %.60q holds binary data, which is no text: write the file without it (first bytes %.16s…)",
			column, base64.StdEncoding.EncodeToString(s[:min(12, len(s))]))})
	}
	w.text(s)
}

func (w *rowJSON) integer(v int64)   { w.buf = strconv.AppendInt(w.buf, v, 10); w.check(0) }
func (w *rowJSON) unsigned(v uint64) { w.buf = strconv.AppendUint(w.buf, v, 10); w.check(0) }
func (w *rowJSON) boolean(v bool)    { w.buf = strconv.AppendBool(w.buf, v); w.check(0) }

// float writes a number; what JSON has none for, as null.
func (w *rowJSON) float(v float64, bits int) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		w.raw("null")
		return
	}
	w.buf = jsontext.AppendFloat(w.buf, v, bits)
	w.check(0)
}

// time writes a time as RFC 3339 has it, without a zone where the column has none.
func (w *rowJSON) time(t time.Time, zoned bool) {
	layout := "2006-01-02T15:04:05.999999999"
	if zoned {
		layout += "Z07:00"
	}
	w.text([]byte(t.UTC().Format(layout)))
}

// date writes a day, counted from 1970.
func (w *rowJSON) date(days int64) {
	w.text([]byte(time.Unix(days*86400, 0).UTC().Format(time.DateOnly)))
}

// timeOfDay writes a time of any day, in units of a second's fraction since midnight.
func (w *rowJSON) timeOfDay(n, perSecond int64) {
	w.text([]byte(timeOf(n, perSecond).UTC().Format("15:04:05.999999999")))
}

// key writes a map's key, as a text whatever it is.
func (w *rowJSON) key(write func()) {
	mark := len(w.buf)
	if write(); len(w.buf) == mark || w.buf[mark] != '"' {
		text := slices.Clone(w.buf[mark:])
		w.buf = w.buf[:mark]
		w.text(text)
	}
	w.raw(":")
}

// timeOf is the time that is n units of a second's fraction after 1970.
func timeOf(n, perSecond int64) time.Time {
	return time.Unix(n/perSecond, n%perSecond*(int64(time.Second)/perSecond))
}

// object writes an object of members, of which each writes its value, or reports that it is null: those are left out.
func (w *rowJSON) object(names [][]byte, value func(i int) bool) {
	w.raw("{")
	first := true
	for i, name := range names {
		mark := len(w.buf)
		if !first {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(w.buf, name...)
		if !value(i) {
			w.buf = w.buf[:mark]
			continue
		}
		first = false
	}
	w.raw("}")
}

// memberName is a name as object wants it: quoted, and with its colon.
func memberName(name string) []byte {
	w := rowJSON{}
	w.text([]byte(name))
	return append(w.buf, ':')
}
