package evaluation

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"so8t/disk"
)

// writeAtomic puts a whole file in place or leaves what was there, and makes its folder where there is none.
func writeAtomic(path string, write func(io.Writer) error) error {
	if err := disk.MakeDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return disk.Replace(path, write)
}

// encodeJSON keeps <final> and Japanese readable: no HTML escapes.
func encodeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
