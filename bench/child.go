package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// follow runs a program and hands each line of JSON that it prints to take, as it comes: what was measured before a
// failure, or before ctx ended, counts. It gives the end of its standard error.
func follow(ctx context.Context, take func(line []byte), env []string, name string, args ...string) (errs string, err error) {
	c := exec.CommandContext(ctx, name, args...)
	c.WaitDelay = time.Second
	var tail bytes.Buffer
	c.Env, c.Stderr = append(os.Environ(), env...), &tail
	out, err := c.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := c.Start(); err != nil {
		return "", err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if bytes.HasPrefix(lines.Bytes(), []byte("{")) {
			take(lines.Bytes())
		}
	}
	err = errors.Join(lines.Err(), c.Wait())
	if ctx.Err() != nil {
		err = fmt.Errorf("stopped: %w", context.Cause(ctx))
	}
	return strings.TrimSpace(tail.String()), err
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
