package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// fileSum is a file's entry in the manifest.
type fileSum struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// writeFile creates a durable file from what fill writes, hashing it on the way.
func writeFile(ctx context.Context, dir, name string, fill func(io.Writer) error) (sum fileSum, err error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return sum, err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	w := &summingWriter{ctx: ctx, file: f, hash: sha256.New()}
	if err := fill(w); err != nil {
		return sum, err
	}
	if err := f.Sync(); err != nil {
		return sum, err
	}
	return fileSum{name, w.bytes, hex.EncodeToString(w.hash.Sum(nil))}, nil
}

// summingWriter hashes while it writes: the hash takes about as long as the copy to the page cache.
type summingWriter struct {
	ctx   context.Context
	file  *os.File
	hash  hash.Hash
	bytes int64
}

const pieceBytes = 4 << 20 // written between two checks of the context

func (w *summingWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if err := context.Cause(w.ctx); err != nil {
			return written, err
		}
		piece := p[:min(len(p), pieceBytes)]
		hashed := hashBeside(w.hash, piece)
		n, err := w.file.Write(piece)
		hashed()
		written += n
		w.bytes += int64(n)
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// hashBeside hashes p in the background; the function it returns waits for that.
func hashBeside(h hash.Hash, p []byte) (wait func()) {
	done := make(chan struct{})
	go func() {
		h.Write(p)
		close(done)
	}()
	return func() { <-done }
}

// readFile reads the file that sum describes and verifies it. It returns the contents if load is set; otherwise it
// only verifies, bypassing the page cache where the system allows it.
func readFile(ctx context.Context, dir string, sum fileSum, load bool) ([]byte, error) {
	path := filepath.Join(dir, sum.Name)
	f, err := os.Open(path)
	if err != nil {
		return nil, damageIfLost(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, damageIfLost(path, err)
	}
	if info.Size() != sum.Bytes {
		return nil, &DamageError{path, fmt.Errorf("has %d bytes, the manifest says %d", info.Size(), sum.Bytes)}
	}
	var contents []byte
	var scratch [2][]byte // one is filled while the other is hashed
	if load {
		contents = make([]byte, sum.Bytes)
	} else {
		scratch = [2][]byte{make([]byte, pieceBytes), make([]byte, pieceBytes)}
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // advice only
	}
	h := sha256.New()
	hashed := func() {} // waits for the previous piece
	for done, i := int64(0), 0; done < sum.Bytes; i++ {
		n := min(pieceBytes, sum.Bytes-done)
		piece := scratch[i%2]
		if load {
			piece = contents[done:]
		}
		_, err := io.ReadFull(f, piece[:n])
		hashed()
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, damageIfLost(path, err)
		}
		hashed = hashBeside(h, piece[:n])
		done += n
	}
	hashed()
	if got := hex.EncodeToString(h.Sum(nil)); got != sum.SHA256 {
		return nil, &DamageError{path, fmt.Errorf("SHA-256 is %s, the manifest says %s", got, sum.SHA256)}
	}
	return contents, nil
}

// damageIfLost turns errors that mean lost data into a DamageError. Others (no
// permission, too many open files) say nothing about the checkpoint: falling back on them would lose good work.
func damageIfLost(path string, err error) error {
	lost := errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EIO) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if lost {
		return &DamageError{path, err}
	}
	return err
}
