package activities

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"

	"so8t/disk"
)

// doneMarker is <output>/.done/<what>.json: the result of work that need not be repeated.
// A worker's report of a finished activity can be lost with the server; the retry then
// finds the work done.
type doneMarker[T any] struct {
	Key    string `json:"key"` // of all that the result depends on
	Result T      `json:"result"`
}

// once does the work unless a marker of the same key says it is done and its files exist.
func once[T any](j *job, what, key string, files []string, work func() (T, error)) (T, error) {
	path := j.path(".done", what+".json")
	var done doneMarker[T]
	if disk.ReadJSON(path, &done) == nil && done.Key == key && allExist(files) {
		j.log.Info("done already", "what", what)
		return done.Result, nil
	}
	result, err := work()
	if err != nil {
		return result, err
	}
	return result, j.lease.During(func() error {
		if err := disk.MakeDir(j.path(".done")); err != nil {
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

// keyOf digests what a result depends on.
func keyOf(parts ...any) (string, error) {
	text, err := json.Marshal(parts)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
