package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// sight is a line of a worker's log, taken apart.
type sight struct {
	line string
	at   time.Time
	msg  string
	attr map[string]string
}

func (s sight) number(key string) int {
	n, _ := strconv.Atoi(s.attr[key])
	return n
}

// readLine parses a line of slog's text handler: key=value, the value quoted where it needs to be.
func readLine(line string) (s sight, ok bool) {
	s.line, s.attr = line, map[string]string{}
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		key, rest, found := strings.Cut(line, "=")
		if !found {
			return s, false
		}
		var value string
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(quoted)
			line = rest[len(quoted):]
		} else {
			value, line, _ = strings.Cut(rest, " ")
		}
		s.attr[key] = value
	}
	at, err := time.Parse(time.RFC3339Nano, s.attr["time"])
	s.at, s.msg = at, s.attr["msg"]
	return s, err == nil
}

// process is a program of the laboratory, with its log in a file.
type process struct {
	cmd     *exec.Cmd
	log     string
	started time.Time
	armed   bool          // with a crash point
	exited  chan struct{} // closed when it is gone and its log read to the end
	retired atomic.Bool   // its log no longer counts: another worker takes over
}

// launch starts a program whose output goes to a file, and line by line to see.
func launch(log string, env []string, see func(*process, string), program string, args ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(program, args...), log: log, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // nothing outlives the laboratory
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stderr, p.cmd.Stdout = w, w
	p.started = time.Now()
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(program), err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer r.Close()
		defer file.Close()
		lines := bufio.NewReader(io.TeeReader(r, file))
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if see != nil {
				see(p, line)
			}
		}
	}()
	go func() {
		_ = p.cmd.Wait()
		<-read
		close(p.exited)
	}()
	return p, nil
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends it with SIGKILL, and returns when it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// gone waits for it to end by itself, and reports whether it did in time.
func (p *process) gone(within time.Duration) bool {
	select {
	case <-p.exited:
		return true
	case <-time.After(within):
		return false
	}
}
