package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// clockSlack is how far the clocks of this machine and of the Temporal server may differ.
const clockSlack = 24 * time.Hour

// FindDecided looks for the record that Decided wrote of d: for callers that were killed before they knew. It reads the
// segments of dir that were written to since d.At, newest first.
func FindDecided(dir string, d Decided) (at Position, found bool, err error) {
	numbers, err := segments(dir)
	if err != nil {
		return at, false, err
	}
	for _, n := range slices.Backward(numbers) {
		path := filepath.Join(dir, segmentName(n))
		info, err := os.Stat(path)
		if err != nil {
			return at, false, err
		}
		if info.ModTime().Before(d.At.Add(-clockSlack)) {
			return at, false, nil // this and the older ones were written before the decision
		}
		if at, found, err = findDecided(path, d); err != nil || found {
			return at, found, err
		}
	}
	return at, false, nil
}

func findDecided(path string, d Decided) (at Position, found bool, err error) {
	in, err := openLines(path, newLineBuffer())
	if err != nil {
		return at, false, err
	}
	defer in.close()
	for {
		text, whole, err := in.read()
		switch {
		case errors.Is(err, io.EOF) || err == nil && !whole: // the log may be writing the last line
			return at, false, nil
		case err != nil:
			return at, false, fmt.Errorf("read %s: %w", path, err)
		case !bytes.Contains(text, []byte(`"kind":"decided"`)):
			continue // most lines
		}
		var r struct {
			Seq uint64 `json:"seq"`
			decidedRecord
		}
		if err := json.Unmarshal(text, &r); err != nil {
			return at, false, fmt.Errorf("%s:%d: %w", path, in.n, err)
		}
		if r.decidedRecord == newDecidedRecord(d) {
			return head{r.Seq, sha256.Sum256(text)}.position(), true, nil
		}
	}
}
