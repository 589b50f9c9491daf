package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Resolve lists the files that data.input_path and data.take name, as absolute paths. A path may be a glob; a name that
// holds brackets and exists is no glob. take is newest (one file: the last written of all matches, and of several of the
// same time the last by name, since most names carry a date), all (in the list's order, sorted by name within a glob, no
// file twice), or empty: newest for a single path, all for a list. Errors are *Error.
func Resolve(paths []string, take string) ([]string, error) {
	newest := take == "newest" || take == "" && len(paths) == 1
	if !newest && take != "all" && take != "" {
		return nil, &Error{fmt.Errorf("data.take: %q is neither newest nor all", take)}
	}
	var found []match
	for _, path := range paths {
		matches, err := matchesOf(path)
		if err != nil {
			return nil, &Error{fmt.Errorf("data.input_path: %w", err)}
		}
		found = append(found, matches...)
	}
	if len(found) == 0 {
		return nil, &Error{errors.New("data.input_path: names no file")}
	}
	if newest {
		last := found[0]
		for _, m := range found[1:] {
			if age := m.info.ModTime().Compare(last.info.ModTime()); age > 0 || age == 0 && m.path > last.path {
				last = m
			}
		}
		found = []match{last}
	}
	return distinct(found)
}

// match is a regular file that a path names.
type match struct {
	path string
	info os.FileInfo
}

// matchesOf lists the regular files that a path names, sorted by name. There is at least one.
func matchesOf(path string) ([]match, error) {
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() {
			return nil, regular(path, info)
		}
		return []match{{path, info}}, nil
	}
	if !strings.ContainsAny(path, `*?[\`) {
		return nil, fmt.Errorf("no such file: %q", path)
	}
	names, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("%q is not a pattern: %w", path, err)
	}
	var found []match
	folder := ""
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case err == nil && info.Mode().IsRegular():
			found = append(found, match{name, info})
		case err == nil && info.IsDir():
			folder = name
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case folder != "":
		return nil, fmt.Errorf("%q matches folders only: name the files in them, as in %s/*.jsonl", path, folder)
	case strings.Contains(path, "**"):
		return nil, fmt.Errorf("no file matches %q: ** is one folder, not folders of any depth", path)
	}
	return nil, fmt.Errorf("no file matches %q", path)
}

// distinct makes paths absolute and leaves out a file that stands in the list already, under whatever name.
func distinct(found []match) ([]string, error) {
	type inode struct{ device, number uint64 }
	seen := map[inode]bool{}
	var paths []string
	for _, m := range found {
		if stat, ok := m.info.Sys().(*syscall.Stat_t); ok {
			key := inode{uint64(stat.Dev), stat.Ino}
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		path, err := filepath.Abs(m.path)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
