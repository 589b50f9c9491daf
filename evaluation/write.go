package evaluation

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"so8t/disk"
)

// writeAtomic replaces a file as a whole, or leaves the former one, and creates its folder if need be.
func writeAtomic(path string, write func(io.Writer) error) error {
	if err := disk.MakeDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return disk.Replace(path, write)
}

// encodeJSON writes indented JSON without HTML escapes, so that <final> stays readable.
func encodeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
