package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// Outcome is what Verify found; its number is the exit status of the command.
type Outcome int

const (
	Whole      Outcome = iota
	Altered            // a line is not the one that was written
	Cut                // the end is missing
	Unreadable         // there is no log, or it cannot be read
)

func (o Outcome) String() string { return [...]string{"whole", "altered", "cut", "unreadable"}[o] }

// Report is what Verify tells of a log.
type Report struct {
	Outcome Outcome
	Where   string // file:line, or behind which checkpoint
	Why     string

	Segments           int
	Records            uint64
	Answers            uint64
	Aborted            uint64 // requests that ended before they had an answer
	LastSeq            uint64
	StartsBehind       uint64 // last record of the segments that were removed; 0: none was
	First, Last        time.Time
	ClockBack          int    // times at which the clock was set back
	FirstClockBack     uint64 // record
	KeyIDs             []string
	Models             []string
	Unclosed           int      // answers without their end: the process was killed, or they are under way
	UnclosedIDs        []string // of the first ten
	Checkpoints        int
	SignaturesVerified bool
	Unsigned           uint64 // records behind the newest checkpoint
	Torn               int64  // bytes of an unfinished record at the end
	TornNote           bool   // the last checkpoint is unfinished
}

func sorted(set map[string]struct{}) []string { return slices.Sorted(maps.Keys(set)) }

// add costs no memory for what is there already.
func add(set map[string]struct{}, value []byte) {
	if _, ok := set[string(value)]; !ok {
		set[string(value)] = struct{}{}
	}
}

// keyOf returns the id of the key in a reasoning hash.
func keyOf(reasoning []byte) []byte {
	kind, rest, _ := bytes.Cut(reasoning, []byte(":"))
	if id, _, found := bytes.Cut(rest, []byte(":")); found {
		return id
	}
	return kind
}

// Find returns the reasoning hash of a request's answer. ok is false if the log has no such answer.
func Find(dir, id string) (reasoning string, ok bool, err error) {
	numbers, err := segments(dir)
	if err != nil {
		return "", false, err
	}
	buffer := newLineBuffer()
	for _, n := range slices.Backward(numbers) {
		reasoning, err = findIn(filepath.Join(dir, segmentName(n)), id, buffer)
		if err != nil || reasoning != "" {
			return reasoning, err == nil, err
		}
	}
	return "", false, nil
}

// findIn looks for the answer's record in a segment.
func findIn(path, id string, buffer *bufio.Reader) (reasoning string, err error) {
	in, err := openLines(path, buffer)
	if err != nil {
		return "", err
	}
	defer in.close()
	quoted, _ := json.Marshal(id)
	for {
		text, _, err := in.read()
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if !bytes.Contains(text, quoted) {
			continue
		}
		if l, err := parse(text); err == nil && string(l.kind) == "answer" && string(l.id) == id {
			return string(l.reasoning), nil
		}
	}
}

// LastNote returns the newest checkpoint of a log as it was signed.
func LastNote(dir string) (Checkpoint, error) {
	n, err := openNotes(dir)
	if err != nil {
		return Checkpoint{}, err
	}
	if n == nil {
		return Checkpoint{}, errors.New("there is no checkpoint in " + dir)
	}
	defer n.close()
	var last Checkpoint
	for {
		c, err := n.next()
		switch {
		case err == nil:
			last = c
		case (errors.Is(err, io.EOF) || errors.Is(err, errTorn)) && last.Note != "":
			return last, nil
		case errors.Is(err, io.EOF):
			return last, errors.New("there is no checkpoint in " + dir)
		default:
			return last, err
		}
	}
}
