// Package source reads records' JSON objects from files in every form that data comes in, block by block, from any
// position on. What a file is decides its content, never its name.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
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

	array bool // the values of a json file stand in one array
}

// Position is a place between two blocks.
type Position struct {
	File   int   `json:"file"`   // index in Input.Files
	Offset int64 `json:"offset"` // bytes of decompressed UTF-8 text; rows of Parquet and Arrow
	Line   int64 `json:"line"`   // of the last row read in the file
}

// Row is one record's JSON object, or why there is none.
type Row struct {
	Line   int64  // from 1: the line of a JSONL file, else the record's number
	JSON   []byte // valid as long as its Block
	Fault  string // a reason, as policy_report.json counts it: line_too_long; empty where JSON is set
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

	seen []identity
}

// identity tells whether a file is still the one that Open saw.
type identity struct {
	size     int64
	modified time.Time
	info     os.FileInfo // device and inode, compared by os.SameFile
}

// blockSize is the text of a block: it ends with the first row that reaches it. Only tests change it.
var blockSize int64 = 256 << 10

// maxRow limits a row's JSON, and with it the memory for a file without line feeds.
const maxRow = 16 << 20

// Open finds out what each file is. Its errors are *Error.
func Open(paths []string) (*Input, error) {
	in := &Input{}
	for _, path := range paths {
		file, info, err := identify(path)
		if err != nil {
			return nil, err
		}
		in.Files = append(in.Files, file)
		in.Size += file.Size
		in.seen = append(in.seen, identity{info.Size(), info.ModTime(), info})
	}
	return in, nil
}

// Digest fills in the SHA-256 of every file.
func (in *Input) Digest(ctx context.Context) error {
	buffer := make([]byte, 1<<20)
	for i := range in.Files {
		f, err := openRegular(in.Files[i].Path)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.CopyBuffer(h, struct{ io.Reader }{&interruptible{ctx, f}}, buffer)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("digest of %s: %w", in.Files[i].Path, err)
		}
		in.Files[i].SHA256 = hex.EncodeToString(h.Sum(nil))
	}
	return nil
}

// interruptible is a reader that fails once ctx is done.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// Unchanged returns an *Error if a file is no longer what Open saw: by size, time of change, device or inode.
func (in *Input) Unchanged() error {
	for i, file := range in.Files {
		info, err := os.Stat(file.Path)
		if err != nil {
			return &Error{err}
		}
		seen := in.seen[i]
		if info.Size() != seen.size || !info.ModTime().Equal(seen.modified) || !os.SameFile(info, seen.info) {
			return &Error{fmt.Errorf("%s changed while it was read", file.Path)}
		}
	}
	return nil
}

// rows reads one file.
type rows interface {
	// next fills a block's Rows, and Next but for File. io.EOF means that no row is left.
	next(b *Block) error
	// read is the number of bytes on disk that have been consumed.
	read() int64
	io.Closer
}

// Read calls yield with each block from a position on, in order. A block is the callee's to keep. Where blocks are cut
// depends on the files alone: Read from any Block.Next yields the blocks that followed. Faults of a file are *Error.
func (in *Input) Read(ctx context.Context, from Position, yield func(Block) error) error {
	before := int64(0) // bytes of the files before this one
	for i, file := range in.Files {
		if i >= from.File {
			start := Position{File: i}
			if i == from.File {
				start = from
			}
			if err := readFile(ctx, file, start, before, yield); err != nil {
				return err
			}
		}
		before += file.Size
	}
	return nil
}

func readFile(ctx context.Context, file File, from Position, before int64, yield func(Block) error) (err error) {
	var r rows
	if err := guard(file.Path, func() (err error) { r, err = openRows(ctx, file, from); return err }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := Block{File: from.File}
		err := guard(file.Path, func() error { return r.next(&b) })
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b.Next.File = from.File
		b.Read = before + min(r.read(), file.Size)
		if err := yield(b); err != nil {
			return err
		}
	}
}

func openRows(ctx context.Context, file File, from Position) (rows, error) {
	switch file.Format {
	case "parquet":
		return openParquet(ctx, file, from)
	case "arrow":
		return openArrow(ctx, file, from)
	}
	return openText(ctx, file, from)
}
