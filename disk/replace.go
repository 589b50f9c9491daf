package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Replace replaces a file atomically and durably. Its folder must exist. Errors name the path.
func Replace(path string, write func(io.Writer) error) error { return replace(path, 0o644, write) }

// ReplacePrivate is Replace for a file that nobody else may read.
func ReplacePrivate(path string, write func(io.Writer) error) error {
	return replace(path, 0o600, write)
}

func replace(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil { // CreateTemp's 0600 would hide the file from others
		return err
	}
	Crash("file.written")
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	Crash("file.synced")
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	Crash("file.renamed")
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return err
	}
	Crash("file.replaced")
	return nil
}

// ReplaceJSON replaces a file with value as indented JSON, without HTML escapes, for people to read.
func ReplaceJSON(path string, value any) error {
	return Replace(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(value)
	})
}

// ReadJSON reads a file that holds one JSON value. Errors name the path.
func ReadJSON(path string, value any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// ReplaceDir fills a hidden folder beside dir and gives it dir's name once all of it is on disk; only
// then the former folder goes. Of several writers at once, those without the lease change nothing; a
// nil lease allows the write.
func ReplaceDir(lease *Lease, dir string, fill func(temp string) error) (err error) {
	parent, name := filepath.Dir(dir), filepath.Base(dir)
	if err := MakeDir(parent); err != nil {
		return err
	}
	if err := lease.During(func() error { return clear(parent, name) }); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(parent, "."+name+partial+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	if err := fill(temp); err != nil {
		return err
	}
	Crash("dir.filled")
	if err := syncTree(temp); err != nil {
		return err
	}
	Crash("dir.synced")
	var former string
	if err := lease.During(func() error {
		former, err = swap(temp, dir)
		return err
	}); err != nil {
		return err
	}
	if err := os.RemoveAll(former); err != nil { // mostly under temp's name: the two were exchanged
		return err
	}
	Crash("dir.replaced")
	return nil
}

// Hidden names beside a folder NAME that is being replaced: .NAME.partial-… and .NAME.former.
const (
	partial = ".partial-"
	aside   = ".former"
)

// swap renames temp to dir durably, and returns where the former folder is now.
func swap(temp, dir string) (former string, err error) {
	err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	switch {
	case err == nil:
		former = temp
	case errors.Is(err, fs.ErrNotExist):
		err = os.Rename(temp, dir)
	default: // the file system cannot exchange two names; clear brings the former one back after a crash
		former = filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+aside)
		if err = os.Rename(dir, former); err == nil {
			err = os.Rename(temp, dir)
		}
	}
	if err != nil {
		return "", err
	}
	Crash("dir.renamed")
	return former, SyncDir(filepath.Dir(dir))
}

// clear removes what killed writers of parent/name left, and brings the former folder back if its
// successor is not in place.
func clear(parent, name string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."+name+partial):
			err = os.RemoveAll(path)
		case e.Name() == "."+name+aside:
			if _, missing := os.Lstat(filepath.Join(parent, name)); errors.Is(missing, fs.ErrNotExist) {
				err = os.Rename(path, filepath.Join(parent, name))
			} else {
				err = os.RemoveAll(path)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// syncTree makes everything under dir durable, the names in dir last.
func syncTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
			err = syncTree(path)
		case e.Type().IsRegular():
			err = SyncDir(path) // opens and syncs a file too
		}
		if err != nil {
			return err
		}
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MakeDir creates dir and its parents, each made durable in its parent.
func MakeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MakeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncDir(parent)
}
