package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// tempPrefix begins the names of unfinished folders in a run's output directory.
const tempPrefix = ".splits-"

// makeTemp makes a folder beside splits, and removes those that killed attempts left.
// A run's output directory has one writer at a time.
func makeTemp(outputDir string) (string, error) {
	if err := os.MkdirAll(outputDir, 0o755); err != nil {
		return "", err
	}
	left, err := filepath.Glob(filepath.Join(outputDir, tempPrefix+"*"))
	if err != nil {
		// The output directory's own name holds a bracket: leave what is there.
		left = nil
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	dir, err := os.MkdirTemp(outputDir, tempPrefix)
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// replaceDir gives temp, whose files are on the disk, the name dir, in place of what stood there.
// Killed in between, there is no dir: an unmade split, never half of one.
func replaceDir(temp, dir string) error {
	if err := syncDir(temp); err != nil {
		return err
	}
	old := temp + ".old"
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("fsync %s: %w", dir, err)
	}
	return nil
}
