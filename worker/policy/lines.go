package policy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLine is the longest line that is read.
const maxLine = 64 << 20

// Lines are where a command reads.
type Lines struct {
	File string `arg:"" optional:"" type:"existingfile" help:"Lines of JSON. Without it, standard input is read."`
}

// asked is what every line has.
type asked struct {
	ID string `json:"id"`
}

func (a asked) id() string { return a.ID }

// answerLines answers each line, in order, on standard output.
func answerLines[In interface{ id() string }](l Lines, answer func(In) (any, error)) error {
	in, name := os.Stdin, "standard input"
	if l.File != "" {
		file, err := os.Open(l.File)
		if err != nil {
			return err
		}
		defer file.Close()
		in, name = file, l.File
	}
	if err := answerAll(in, os.Stdout, answer); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// answerAll answers each line that is not blank.
func answerAll[In interface{ id() string }](in io.Reader, out io.Writer, answer func(In) (any, error)) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	buffered := bufio.NewWriter(out)
	write := json.NewEncoder(buffered)
	write.SetEscapeHTML(false) // as texts are written in the sets
	n := 1
	for ; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := answerLine(lines.Bytes(), write, answer); err != nil {
			return errors.Join(fmt.Errorf("line %d: %w", n, err), buffered.Flush())
		}
	}
	if err := lines.Err(); err != nil {
		return errors.Join(fmt.Errorf("line %d: %w", n, err), buffered.Flush())
	}
	return buffered.Flush()
}

func answerLine[In interface{ id() string }](line []byte, write *json.Encoder, answer func(In) (any, error)) error {
	var in In
	if err := json.Unmarshal(line, &in); err != nil {
		return err
	}
	if in.id() == "" {
		return errors.New("no id")
	}
	got, err := answer(in)
	if err != nil {
		return err
	}
	return write.Encode(got)
}
