package promotion

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// place is where a link leads, and what was there.
type place struct {
	path  string // the folder itself
	moves string // the links on the way: their texts, and when each was made
	stamp [sha256.Size]byte
}

// most links on a way, as in Linux
const mostLinks = 40

// look follows the link.
func look(link string) (p place, err error) {
	var moves strings.Builder
	for at, n := link, 0; ; n++ {
		info, err := os.Lstat(at)
		if err != nil {
			return p, err
		}
		if info.Mode()&os.ModeSymlink == 0 {
			break
		}
		text, err := os.Readlink(at)
		if err != nil {
			return p, err
		}
		if n == mostLinks {
			return p, fmt.Errorf("%s: more than %d links", link, mostLinks)
		}
		fmt.Fprintf(&moves, "%s %d\n", text, info.ModTime().UnixNano())
		if !filepath.IsAbs(text) {
			text = filepath.Join(filepath.Dir(at), text)
		}
		at = text
	}
	p.moves = moves.String()
	if p.path, err = filepath.EvalSymlinks(link); err != nil {
		return p, err
	}
	if p.path, err = filepath.Abs(p.path); err != nil {
		return p, err
	}
	p.stamp, err = stampOf(p.path)
	return p, err
}

// stampOf digests names, sizes and times of a folder's files: it changes when one of them is written.
func stampOf(dir string) (stamp [sha256.Size]byte, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return stamp, err
	}
	h := sha256.New()
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name())) // of the file behind a link: a model folder may hold links to blobs
		if err != nil {
			return stamp, err
		}
		fmt.Fprintf(h, "%s %d %d\n", e.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// unchanged returns an error if a folder was written since it had that stamp: what was read may then be half of one model
// and half of another.
func unchanged(dir string, since [sha256.Size]byte) error {
	now, err := stampOf(dir)
	if err == nil && now != since {
		err = errors.New("the folder was written while it was read")
	}
	return err
}
