package audit

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const notesName = "checkpoints.note"

// Checkpoint is a signed place in the chain.
type Checkpoint struct {
	Origin string
	Seq    uint64
	Hash   string // of the record's line, hex
	Time   time.Time
	Note   string // as it was signed
}

// sign makes the note: origin, record, hash and time, one a line.
func sign(origin string, h head, at time.Time, signer note.Signer) (string, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n%s\n", origin, h.seq, h.hash, stamp(at))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	return string(signed), err
}

// ErrNoKey says that a checkpoint is signed by a key that was not given.
var ErrNoKey = errors.New("it is signed by a key that was not given")

// OpenCheckpoint reads a note and verifies its signature by one of the keys. Without keys the signature is not looked at.
func OpenCheckpoint(text []byte, keys []note.Verifier) (Checkpoint, error) {
	opened, err := note.Open(text, note.VerifierList(keys...))
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unverified) && len(keys) == 0:
		opened = unverified.Note
	case errors.As(err, &unverified):
		return Checkpoint{}, ErrNoKey
	case err != nil:
		return Checkpoint{}, fmt.Errorf("no signed checkpoint: %w", err)
	}
	for _, l := range strings.Split(strings.TrimPrefix(string(text), opened.Text), "\n") { // Open takes several forms of one signature
		parts := strings.Split(l, " ")
		if _, err := base64.StdEncoding.Strict().DecodeString(parts[len(parts)-1]); err != nil {
			return Checkpoint{}, errors.New("no signed checkpoint: its signature is not in its one form")
		}
	}
	fields := strings.Split(opened.Text, "\n")
	if len(fields) != 5 {
		return Checkpoint{}, errors.New("no checkpoint: a checkpoint is origin, record, hash and time")
	}
	c := Checkpoint{Origin: fields[0], Hash: fields[2], Note: string(text)}
	var errSeq, errTime error
	c.Seq, errSeq = strconv.ParseUint(fields[1], 10, 64)
	c.Time, errTime = time.Parse(timeLayout, fields[3])
	if bad, err := hex.DecodeString(c.Hash); errSeq != nil || errTime != nil || err != nil || len(bad) != len(digest{}) {
		return Checkpoint{}, errors.New("no checkpoint: its record, hash or time cannot be read")
	}
	return c, nil
}

// notes reads checkpoints.note note by note: each is followed by an empty line. Signatures are for the caller to verify.
type notes struct {
	file *os.File
	r    *bufio.Reader
	line int   // lines read
	size int64 // bytes read
}

// openNotes returns nil if there is no such file.
func openNotes(dir string) (*notes, error) {
	f, err := os.Open(filepath.Join(dir, notesName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &notes{file: f, r: bufio.NewReader(f)}, nil
}

func (n *notes) close() { _ = n.file.Close() }

const maxNote = 4096

var errTorn = errors.New("no whole note")

// next returns io.EOF behind the last note.
func (n *notes) next() (Checkpoint, error) {
	var text []byte
	for empty := 0; empty < 2; {
		l, err := n.r.ReadSlice('\n')
		n.size += int64(len(l))
		text = append(text, l...)
		switch {
		case err == io.EOF && len(text) == 0:
			return Checkpoint{}, io.EOF
		case err == io.EOF:
			return n.last(text)
		case errors.Is(err, bufio.ErrBufferFull), len(text) > maxNote:
			return Checkpoint{}, errTorn
		case err != nil:
			return Checkpoint{}, err
		}
		n.line++
		if len(l) == 1 {
			empty++
		}
	}
	return OpenCheckpoint(bytes.TrimSuffix(text, []byte("\n")), nil)
}

// beginning matches what a note may be when it is being written, or a crash stopped that.
var beginning = regexp.MustCompile(`^[^\n]+(\n\d*(\n[0-9a-f]{0,64}(\n[^\n]{0,27}(\n(\n(— [^\n]*)?)?)?)?)?)?$`)

// last reads what stands behind the last empty line: a note that lacks that line alone, or the beginning of one.
func (n *notes) last(text []byte) (Checkpoint, error) {
	if beginning.Match(text) {
		return Checkpoint{}, errTorn
	}
	return OpenCheckpoint(text, nil)
}
