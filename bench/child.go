package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// child runs a program that prints a line of JSON last, and reads that line into result. What it prints on the standard error is shown
// only if it fails. processors is the time it had on them, its own children's included.
func child(ctx context.Context, result any, name string, args ...string) (processors time.Duration, err error) {
	c := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		return 0, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, lastLines(errs.String(), 12))
	}
	line := lastLines(out.String(), 1)
	if err := json.Unmarshal([]byte(line), result); err != nil {
		return 0, fmt.Errorf("%s %s: last line %q: %w", name, strings.Join(args, " "), line, err)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
}

// self runs this program's own command as a child: memory and threads of one measurement do not touch the next.
func self(ctx context.Context, result any, args ...string) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = child(ctx, result, path, args...)
	return err
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
