package rundir

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

// Journal records the results of long work as they come, for the attempt that continues it. It is a file of
// lines, each the SHA-256 of a JSON value in hex, a space, and that value: first the key of everything the work
// depends on, then the records in their order. A crash can cut the last line short or leave sectors of zeros in
// it, and a disk can fail: the lines before the first invalid one count.
type Journal[T any] struct {
	path  string
	lease *disk.Lease
}

// NewJournal is the journal of some work in the directory.
func NewJournal[T any](d *Dir, what string) Journal[T] { return Journal[T]{d.journal(what), d.Lease} }

// Open returns the records that were written under the same key and makes the journal ready for Append. With
// another key, or without a journal, it starts an empty one.
func (j Journal[T]) Open(key string) (records []T, err error) {
	err = j.lease.During(func() error {
		text, err := os.ReadFile(j.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		head, valid := firstLine(text)
		var before string
		if !valid || json.Unmarshal(head, &before) != nil || before != key {
			return j.begin(key)
		}
		length := lineLength(head)
		for {
			value, valid := firstLine(text[length:])
			var record T
			if !valid || json.Unmarshal(value, &record) != nil {
				break
			}
			records = append(records, record)
			length += lineLength(value)
		}
		return j.cut(int64(length))
	})
	return records, err
}

// begin replaces the file with a journal without records.
func (j Journal[T]) begin(key string) error {
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

// cut drops what is invalid, so that the next line begins where a line ends.
func (j Journal[T]) cut(length int64) error {
	return j.change(func(f *os.File) error { return f.Truncate(length) })
}

// Append adds a record. Once it returns, the record survives a loss of power.
func (j Journal[T]) Append(record T) error {
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

// change opens the journal, which must exist, and syncs what f did to it.
func (j Journal[T]) change(f func(*os.File) error) error {
	file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if err := f(file); err != nil {
		return errors.Join(err, file.Close())
	}
	return errors.Join(file.Sync(), file.Close())
}

// Remove deletes the journal, once the result of the work is in place.
func (j Journal[T]) Remove() error {
	if _, err := os.Lstat(j.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return j.lease.During(func() error { return os.Remove(j.path) })
}

const sumLength = 2 * sha256.Size

// journalLine is a value's line, with its newline.
func journalLine(value any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%x %s", sha256.Sum256(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), text.Bytes()), nil
}

// firstLine is the value in the first line of text; valid is false if the line is cut short or damaged.
func firstLine(text []byte) (value []byte, valid bool) {
	line, _, whole := bytes.Cut(text, []byte("\n"))
	if !whole || len(line) <= sumLength || line[sumLength] != ' ' {
		return nil, false
	}
	value = line[sumLength+1:]
	return value, fmt.Sprintf("%x", sha256.Sum256(value)) == string(line[:sumLength])
}

func lineLength(value []byte) int { return sumLength + len(" ") + len(value) + len("\n") }
