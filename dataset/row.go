package dataset

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// A row log holds a part's samples until the Arrow file is written: each row is its length and what appendRow makes.
// Token ids are varints, and labels are the lengths of alternating runs of ignored and counted tokens: 2 bytes a token
// instead of 8.

var errRow = errors.New("damaged row")

// appendRow appends a sample to a row log. A counted label must be the token itself.
func appendRow(log []byte, s *Sample) ([]byte, error) {
	digest, err := hex.DecodeString(s.Digest)
	if err != nil {
		return nil, err
	}
	row := make([]byte, 0, 64+len(digest)+len(s.Label)+len(s.Domain)+3*len(s.InputIDs))
	for _, number := range [...]int{s.SourceFile, int(s.SourceLine), s.PromptLength} {
		row = binary.AppendUvarint(row, uint64(number))
	}
	for _, text := range [...]string{string(digest), s.Label, s.Domain} {
		row = binary.AppendUvarint(row, uint64(len(text)))
		row = append(row, text...)
	}
	row = binary.AppendUvarint(row, uint64(len(s.InputIDs)))
	for _, id := range s.InputIDs {
		row = binary.AppendUvarint(row, uint64(uint32(id)))
	}
	counted, run := false, uint64(0)
	for i, label := range s.Labels {
		if label != ignored && label != s.InputIDs[i] {
			return nil, fmt.Errorf("line %d: label %d of token %d", s.SourceLine, label, s.InputIDs[i])
		}
		if (label != ignored) != counted {
			row = binary.AppendUvarint(row, run)
			counted, run = !counted, 0
		}
		run++
	}
	row = binary.AppendUvarint(row, run)
	log = binary.AppendUvarint(log, uint64(len(row)))
	return append(log, row...), nil
}

// decode reads a row. The sample's ids and labels are overwritten, so that a sample can be decoded into again and again.
func (s *Sample) decode(row []byte) error {
	d := rowReader{row: row}
	*s = Sample{InputIDs: s.InputIDs[:0], Labels: s.Labels[:0], SourceFile: d.number(), SourceLine: int64(d.number()), PromptLength: d.number(),
		Digest: hex.EncodeToString(d.text()), Label: string(d.text()), Domain: string(d.text())}
	count := d.number()
	if d.bad || count > len(d.row) {
		return errRow
	}
	s.InputIDs = slices.Grow(s.InputIDs, count)
	for range count {
		s.InputIDs = append(s.InputIDs, int32(d.number()))
	}
	s.Labels = slices.Grow(s.Labels, count)
	for counted := false; len(s.Labels) < count; counted = !counted {
		at := len(s.Labels)
		run := d.number()
		if d.bad || run > count-at || run == 0 && at > 0 {
			return errRow
		}
		s.Labels = append(s.Labels, s.InputIDs[at:at+run]...)
		if !counted {
			for i := range run {
				s.Labels[at+i] = ignored
			}
		}
	}
	if count == 0 {
		d.number()
	}
	if d.bad || len(d.row) > 0 {
		return errRow
	}
	return nil
}

// rowReader reads the fields of a row, and remembers that one was cut.
type rowReader struct {
	row []byte
	bad bool
}

func (d *rowReader) number() int {
	value, n := binary.Uvarint(d.row)
	if n <= 0 || value > 1<<48 {
		d.bad, d.row = true, nil
		return 0
	}
	d.row = d.row[n:]
	return int(value)
}

func (d *rowReader) text() []byte {
	n := d.number()
	if n > len(d.row) {
		d.bad, d.row = true, nil
		return nil
	}
	text := d.row[:n]
	d.row = d.row[n:]
	return text
}
