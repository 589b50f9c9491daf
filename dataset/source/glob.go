package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Newest resolves data.input_path, which may be a glob, to the absolute path of the newest regular file. Of
// several of the same time it takes the last by name, since most names carry a date. Without a match the error
// is an *Error.
func Newest(pattern string) (string, error) {
	path, _, err := NewestMatch(pattern)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// NewestMatch is Newest, as the pattern spells the path.
func NewestMatch(pattern string) (path string, info os.FileInfo, err error) {
	// A file whose name contains a bracket is no pattern.
	if info, err := os.Stat(pattern); err == nil && info.Mode().IsRegular() {
		return pattern, info, nil
	}
	names, err := filepath.Glob(pattern)
	if err != nil {
		return "", nil, &Error{fmt.Errorf("data.input_path: %q is not a pattern: %w", pattern, err)}
	}
	for _, name := range names { // sorted by name
		i, err := os.Stat(name)
		if err != nil || !i.Mode().IsRegular() {
			continue
		}
		if info == nil || !i.ModTime().Before(info.ModTime()) {
			path, info = name, i
		}
	}
	if info == nil {
		what := "no file matches"
		if !strings.ContainsAny(pattern, `*?[\`) {
			what = "no such file:"
		}
		return "", nil, &Error{fmt.Errorf("data.input_path: %s %q", what, pattern)}
	}
	return path, info, nil
}
