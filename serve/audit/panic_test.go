package audit

import (
	"errors"
	"strings"
	"testing"
)

// A panic of what the log calls is no end of the process, and nothing is acknowledged afterwards.
func TestPanicWhileWriting(t *testing.T) {
	o := logOptions(t)
	told := 0
	o.CheckpointRecords, o.Emit = 2, func(string) {
		if told++; told > 1 { // the first is that of the start
			panic("秘密")
		}
	}
	l := mustOpen(t, o)
	answerOnce(t, l, 1)
	for n := range 2 {
		_, err := l.Answer(t.Context(), anAnswer(2+n))
		if n == 1 && (!errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "秘密")) {
			t.Errorf("after a panic: %v", err)
		}
	}
	_ = l.Close()
}
