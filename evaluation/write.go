package evaluation

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"so8t/engine/safetensors"
)

// writeAtomic puts a whole file in place or leaves what was there, and makes its folder where there is none.
func writeAtomic(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return safetensors.Replace(path, write)
}

// encodeJSON keeps <final> and Japanese readable: no HTML escapes.
func encodeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
