package activities

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"so8t/disk"
)

// journal keeps what long work has yielded so far, for the attempt that goes on with it. It is a
// file of lines, each the SHA-256 of a JSON value in hex, a space, and that value: first the
// key of all that the work depends on, then the records in their order. A crash can leave the last line cut
// short or with sectors of zeros in it, a disk can fail: what counts are the lines up to the first that does
// not hold.
type journal[T any] struct {
	path  string
	lease *disk.Lease // nothing is written without it
}

// open returns the records that were kept under the same key, and makes the journal fit to be
// continued. Of another key, or none, it begins anew.
func (j journal[T]) open(key string) (records []T, err error) {
	return records, j.lease.During(func() error {
		text, err := os.ReadFile(j.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		head, good := firstLine(text)
		var before string
		if !good || json.Unmarshal(head, &before) != nil || before != key {
			return j.begin(key)
		}
		length := lineLength(head)
		for {
			value, good := firstLine(text[length:])
			var record T
			if !good || json.Unmarshal(value, &record) != nil {
				break
			}
			records = append(records, record)
			length += lineLength(value)
		}
		return j.cut(int64(length))
	})
}

// begin puts a journal without records in place of whatever there is.
func (j journal[T]) begin(key string) error {
	if err := disk.MakeDir(filepath.Dir(j.path)); err != nil {
		return err
	}
	line, err := journalLine(key)
	if err != nil {
		return err
	}
	return disk.Replace(j.path, func(w io.Writer) error {
		_, err := w.Write(line)
		return err
	})
}

// cut takes off what does not hold, so that the next line begins where a line ends.
func (j journal[T]) cut(length int64) error {
	return j.change(func(f *os.File) error { return f.Truncate(length) })
}

// keep adds a record. Once it returns, the record outlasts a power cut.
func (j journal[T]) keep(record T) error {
	line, err := journalLine(record)
	if err != nil {
		return err
	}
	return j.lease.During(func() error {
		return j.change(func(f *os.File) error {
			_, err := f.Write(line)
			return err
		})
	})
}

// change opens the journal, which must be there, and syncs what f did to it.
func (j journal[T]) change(f func(*os.File) error) error {
	file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if err := f(file); err != nil {
		return errors.Join(err, file.Close())
	}
	return errors.Join(file.Sync(), file.Close())
}

// remove takes the journal away once the work's result is in place.
func (j journal[T]) remove() error {
	if _, err := os.Lstat(j.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return j.lease.During(func() error { return os.Remove(j.path) })
}

const sumLength = 2 * sha256.Size

// journalLine is a value's line, with its end.
func journalLine(value any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%x %s", sha256.Sum256(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), text.Bytes()), nil
}

// firstLine is the value that text's first line holds, if that line is whole and sound.
func firstLine(text []byte) (value []byte, good bool) {
	line, _, whole := bytes.Cut(text, []byte("\n"))
	if !whole || len(line) <= sumLength || line[sumLength] != ' ' {
		return nil, false
	}
	value = line[sumLength+1:]
	return value, fmt.Sprintf("%x", sha256.Sum256(value)) == string(line[:sumLength])
}

func lineLength(value []byte) int { return sumLength + len(" ") + len(value) + len("\n") }
