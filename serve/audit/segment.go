package audit

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"
)

// file is what the log does to a file it appends to.
type file interface {
	io.WriteCloser
	Datasync() error
	Truncate(size int64) error
	inPlace(size int64) error
}

type diskFile struct{ *os.File }

func (f diskFile) Datasync() error {
	return os.NewSyscallError("fdatasync", unix.Fdatasync(int(f.Fd())))
}

// inPlace fails unless the file's path still leads to it, and it has the given size: what is written to a file that was
// removed, replaced or changed by others proves nothing.
func (f diskFile) inPlace(size int64) error {
	own, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(f.Name())
	switch {
	case err != nil:
		return err
	case !os.SameFile(own, named):
		return fmt.Errorf("%s was replaced by another file", f.Name())
	case own.Size() != size:
		return fmt.Errorf("%s has %d bytes where %d were written: somebody else changed it", f.Name(), own.Size(), size)
	}
	return nil
}

// openAppend opens a file of the log, and creates it if need be.
func openAppend(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	return diskFile{f}, err
}

func segmentName(n int) string { return fmt.Sprintf("%06d.jsonl", n) }

var segmentPattern = regexp.MustCompile(`^(\d{6,})\.jsonl$`)

// segments lists the numbers of a folder's segments. Old ones may have been removed, but none between two others.
func segments(dir string) (numbers []int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		m := segmentPattern.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || n < 1 || segmentName(n) != e.Name() {
			return nil, fmt.Errorf("%s is no name of a segment", e.Name())
		}
		numbers = append(numbers, n)
	}
	for i, n := range numbers {
		if want := numbers[0] + i; n != want {
			return numbers[:i], &MissingError{segmentName(want)}
		}
	}
	return numbers, nil
}

// MissingError says that a segment between two others is not there.
type MissingError struct{ Name string }

func (e *MissingError) Error() string { return e.Name + " is missing" }

// A line is at most maxLine bytes long: its own fields beside those of the record take less than the difference.
const (
	maxLine = 1 << 17
	maxBody = maxLine - 1024
)

var errTooLong = fmt.Errorf("line of more than %d bytes", maxLine)

// lines reads a segment line by line, in constant memory.
type lines struct {
	file *os.File
	r    *bufio.Reader
	n    int   // number of the line last read, from 1
	at   int64 // where that line begins
	next int64 // where the following one does
}

func openLines(path string, buffer *bufio.Reader) (*lines, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	buffer.Reset(f)
	return &lines{file: f, r: buffer}, nil
}

func newLineBuffer() *bufio.Reader { return bufio.NewReaderSize(nil, maxLine) }

func (l *lines) close() { _ = l.file.Close() }

// read returns the next line without its line end. whole is false if it has none; a line too long is an error, behind
// which reading goes on.
func (l *lines) read() (text []byte, whole bool, err error) {
	text, err = l.r.ReadSlice('\n')
	if len(text) == 0 && err != nil {
		return nil, false, err
	}
	l.n++
	l.at, l.next = l.next, l.next+int64(len(text))
	for errors.Is(err, bufio.ErrBufferFull) {
		if text, err = l.r.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			l.next += int64(len(text))
			return nil, false, errTooLong
		}
		l.next += int64(len(text))
	}
	switch {
	case err == io.EOF:
		return text, false, nil
	case err != nil:
		return nil, false, err
	}
	return text[:len(text)-1], true, nil
}

// lastRecord reads the end of a segment that is not the newest.
func lastRecord(path string) (h head, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return h, err
	}
	tail := make([]byte, min(info.Size(), maxLine))
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return h, err
	}
	name := filepath.Base(path)
	if len(tail) == 0 || tail[len(tail)-1] != '\n' {
		return h, fmt.Errorf("%s does not end in a whole record", name)
	}
	tail = tail[:len(tail)-1]
	for i := len(tail) - 1; i >= 0; i-- {
		if tail[i] == '\n' {
			tail = tail[i+1:]
			break
		}
	}
	l, err := parse(tail)
	if err != nil {
		return h, fmt.Errorf("%s, last line: %w", name, err)
	}
	return head{l.seq, sha256.Sum256(tail)}, nil
}
