package audit

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Nothing is acknowledged once the log is not where it was, or not what was written; an idle log finds it by itself.
func TestLogThatIsTakenAway(t *testing.T) {
	for name, take := range map[string]func(dir string) error{
		"folder removed":  os.RemoveAll,
		"folder moved":    func(dir string) error { return os.Rename(dir, dir+".away") },
		"segment removed": func(dir string) error { return os.Remove(filepath.Join(dir, segmentName(1))) },
		"segment replaced": func(dir string) error {
			path := filepath.Join(dir, segmentName(1))
			text, err := os.ReadFile(path)
			return errors.Join(err, os.Remove(path), os.WriteFile(path, text, 0o600))
		},
		"segment cut": func(dir string) error { return os.Truncate(filepath.Join(dir, segmentName(1)), 10) },
		"line added": func(dir string) error {
			f, err := os.OpenFile(filepath.Join(dir, segmentName(1)), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("{}\n")
			return errors.Join(err, f.Close())
		},
		"checkpoints removed": func(dir string) error { return os.Remove(filepath.Join(dir, notesName)) },
	} {
		for _, idle := range []bool{false, true} {
			if name == "checkpoints removed" && !idle {
				continue // the next checkpoint, or the next second, finds it
			}
			o := logOptions(t)
			l := mustOpen(t, o)
			answerOnce(t, l, 1)
			if err := take(o.Dir); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(5 * time.Second); idle && l.Err() == nil && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			if err := l.Err(); idle && !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: an idle log says %v", name, err)
			}
			for n := range 2 { // it does not go on later either
				if _, err := l.Answer(t.Context(), anAnswer(2+n)); !errors.Is(err, ErrUnavailable) {
					t.Errorf("%s, idle %t: acknowledged: %v", name, idle, err)
				}
			}
			_ = l.Close()
		}
	}
}
