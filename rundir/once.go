package rundir

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"

	"so8t/disk"
)

// doneMarker is .done/<what>.json: the result of finished work. A worker's report of a finished activity can
// be lost together with the server; the retry then finds the work done.
type doneMarker[T any] struct {
	Key    string `json:"key"` // digest of everything the result depends on
	Result T      `json:"result"`
}

// Once does the work, unless a marker of the same key says that it is done and the files it made exist.
func Once[T any](d *Dir, what, key string, files []string, work func() (T, error)) (T, error) {
	path := d.done(what)
	var done doneMarker[T]
	if disk.ReadJSON(path, &done) == nil && done.Key == key && allExist(files) {
		d.log.Info("done already", "what", what)
		return done.Result, nil
	}
	result, err := work()
	if err != nil {
		return result, err
	}
	return result, d.Lease.During(func() error {
		if err := disk.MakeDir(filepath.Dir(path)); err != nil {
			return err
		}
		return disk.ReplaceJSON(path, doneMarker[T]{Key: key, Result: result})
	})
}

func allExist(files []string) bool {
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return false
		}
	}
	return true
}

// Key digests what a result depends on.
func Key(parts ...any) (string, error) {
	text, err := json.Marshal(parts)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
