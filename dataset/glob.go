package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// newestMatch resolves data.input_path, which may be a glob, to the newest regular file; of several
// of the same time it takes the last by name.
func newestMatch(pattern string) (path string, info os.FileInfo, err error) {
	// A file whose name contains a bracket is no pattern.
	if info, err := os.Stat(pattern); err == nil && info.Mode().IsRegular() {
		return pattern, info, nil
	}
	names, err := filepath.Glob(pattern)
	if err != nil {
		return "", nil, &InputError{fmt.Errorf("data.input_path: %q is not a pattern: %w", pattern, err)}
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
		return "", nil, &InputError{fmt.Errorf("data.input_path: %s %q", what, pattern)}
	}
	return path, info, nil
}
