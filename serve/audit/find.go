package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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
	paths, err := filepath.Glob(filepath.Join(dir, "[0-9]*.jsonl"))
	if err != nil {
		return at, false, err
	}
	slices.Sort(paths)
	for _, path := range slices.Backward(paths) {
		info, err := os.Stat(path)
		if err != nil {
			return at, false, err
		}
		if info.ModTime().Before(d.At.Add(-clockSlack)) {
			return at, false, nil // what is older was written before the decision
		}
		if at, found, err = findDecided(path, d); err != nil || found {
			return at, found, err
		}
	}
	return at, false, nil
}

func findDecided(path string, d Decided) (at Position, found bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return at, false, err
	}
	defer f.Close()
	mark, err := json.Marshal(d.ID)
	if err != nil {
		return at, false, err
	}
	for in := bufio.NewReaderSize(f, 1<<20); ; {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return at, false, nil // a line without its end is not a record yet
		} else if err != nil {
			return at, false, fmt.Errorf("read %s: %w", path, err)
		}
		line = line[:len(line)-1]
		if !bytes.Contains(line, mark) || !bytes.Contains(line, []byte(`"decided"`)) {
			continue
		}
		var r struct {
			Seq      uint64    `json:"seq"`
			Kind     string    `json:"kind"`
			ID       string    `json:"id"`
			Decision string    `json:"decision"`
			At       time.Time `json:"at"`
		}
		if json.Unmarshal(line, &r) != nil {
			continue // verify reports it
		}
		if r.Kind == "decided" && r.ID == d.ID && r.Decision == d.Decision && r.At.Equal(d.At.Truncate(time.Microsecond)) {
			sum := sha256.Sum256(line)
			return Position{Seq: r.Seq, Hash: hex.EncodeToString(sum[:])}, true, nil
		}
	}
}
