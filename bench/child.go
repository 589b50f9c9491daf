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

// process is a program to run as a child. It prints results as lines of JSON on its standard output.
type process struct {
	program string
	args    []string
	env     []string // added to this process's own
}

// self is one of this program's own commands.
func self(args ...string) (process, error) {
	path, err := os.Executable()
	return process{program: path, args: args}, err
}

// with adds arguments; p stays as it is.
func (p process) with(args ...string) process {
	p.args = append(p.args[:len(p.args):len(p.args)], args...)
	return p
}

func (p process) String() string { return strings.Join(append([]string{p.program}, p.args...), " ") }

// read runs the process and decodes the last line of its output into result. cpu is the processor time it took, its own children's
// included. An error ends with its last lines on the standard error.
func (p process) read(ctx context.Context, result any) (cpu time.Duration, err error) {
	c := exec.CommandContext(ctx, p.program, p.args...)
	var out, errs bytes.Buffer
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), p.env...), &out, &errs
	if err := c.Run(); err != nil {
		return 0, fmt.Errorf("%v: %w\n%s", p, err, lastLines(errs.String(), 12))
	}
	line := lastLines(out.String(), 1)
	if err := json.Unmarshal([]byte(line), result); err != nil {
		return 0, fmt.Errorf("%v: last line %q: %w", p, line, err)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
}

// follow runs the process and hands each line of JSON that it prints to take as it comes, so that what was measured before a failure,
// or before ctx ended, counts. stderr is what it printed there.
func (p process) follow(ctx context.Context, take func(line []byte)) (stderr string, err error) {
	c := exec.CommandContext(ctx, p.program, p.args...)
	c.WaitDelay = time.Second
	var errs bytes.Buffer
	c.Env, c.Stderr = append(os.Environ(), p.env...), &errs
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
	return strings.TrimSpace(errs.String()), err
}

// reason is one line: the last that a failed child printed on its standard error, or err.
func reason(stderr string, err error) string {
	last := lastLines(stderr, 1)
	if last == "" {
		return err.Error()
	}
	const longest = 300
	return strings.ToValidUTF8(last[:min(len(last), longest)], "")
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
