// Package source reads records' JSON objects from files in every form that data comes in, block by block, from any
// position on.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
)

// Error is a fault of an input file that a retry cannot mend: one line that names the file.
type Error struct{ Err error }

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// File describes an input file.
type File struct {
	Path        string `json:"path"`
	Size        int64  `json:"size"`
	SHA256      string `json:"sha256,omitempty"`      // of its bytes on disk
	Format      string `json:"format"`                // jsonl, json, parquet, arrow
	Compression string `json:"compression,omitempty"` // gzip, zstd
	Encoding    string `json:"encoding,omitempty"`    // utf-16le, utf-16be; UTF-8 where empty
}

// Position is a place between two blocks. Only this package knows what Offset counts.
type Position struct {
	File   int   `json:"file"` // index in Input.Files
	Offset int64 `json:"offset"`
	Line   int64 `json:"line"` // of the last row read in the file
}

// Row is one record's JSON object, or why there is none.
type Row struct {
	Line   int64  // from 1: the line of a JSONL file, else the record's number
	JSON   []byte // valid as long as its Block
	Fault  string // a reason, as policy_report.json counts it: line_too_long …; empty where JSON is set
	Detail string
}

// Block is a few hundred kilobytes of one file.
type Block struct {
	File int // index in Input.Files
	Rows []Row
	Next Position // where reading goes on behind the block
	Read int64    // bytes on disk of all files up to Next, for progress; of Input.Size
}

// Input is a list of files in a fixed order.
type Input struct {
	Files []File
	Size  int64 // bytes on disk
}

// Open finds out what each file is. Its errors are *Error.
func Open(paths []string) (*Input, error) {
	in := &Input{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, &Error{err}
		}
		in.Files = append(in.Files, File{Path: path, Size: info.Size(), Format: "jsonl"})
		in.Size += info.Size()
	}
	return in, nil
}

// Digest fills in the SHA-256 of every file.
func (in *Input) Digest(ctx context.Context) error {
	for i := range in.Files {
		f, err := os.Open(in.Files[i].Path)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		in.Files[i].SHA256 = hex.EncodeToString(h.Sum(nil))
	}
	return ctx.Err()
}

// Unchanged fails if a file is no longer what it was when Open saw it (size, time of change).
func (in *Input) Unchanged() error { return nil }

// Read calls yield with each block from a position on, in order. A block is the callee's to keep. How blocks are cut is a
// function of the files alone.
func (in *Input) Read(ctx context.Context, from Position, yield func(Block) error) error {
	read := int64(0)
	for i, file := range in.Files {
		if i < from.File {
			read += file.Size
			continue
		}
		start := Position{File: i}
		if i == from.File {
			start = from
		}
		f, err := os.Open(file.Path)
		if err != nil {
			return err
		}
		if _, err := f.Seek(start.Offset, io.SeekStart); err != nil {
			return err
		}
		lines := newLineReader(f, maxLineBytes)
		lines.count = start.Line
		b := Block{File: i}
		size := int64(0)
		send := func() error {
			b.Next = Position{i, start.Offset, lines.count}
			b.Read = read + start.Offset
			err := yield(b)
			b, size = Block{File: i}, 0
			return err
		}
		for {
			text, tooLong, err := lines.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			start.Offset += lines.read
			row := Row{Line: lines.count, JSON: append([]byte(nil), text...)}
			if tooLong {
				row = Row{Line: lines.count, Fault: "line_too_long"}
			}
			b.Rows = append(b.Rows, row)
			if size += int64(len(text)); size > 1<<18 {
				if err := send(); err != nil {
					return err
				}
			}
		}
		if err := send(); err != nil {
			return err
		}
		if err := errors.Join(ctx.Err(), f.Close()); err != nil {
			return err
		}
		read += file.Size
	}
	return nil
}
