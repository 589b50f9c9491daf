package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// thinkServer is a server that is asked: a child, or one that runs already.
type thinkServer struct {
	url        string
	child      *exec.Cmd // nil: not ours
	dir        string    // of the child's files
	link       string
	targets    []string // models between which the link moves
	promotions int

	sampling context.CancelFunc
	sampled  sync.WaitGroup
	began    time.Time
	samples  []memorySample
}

// startServer starts the child and waits until it answers. Its log goes to a file in its folder, which stop removes.
func (c *thinkCommand) startServer(ctx context.Context) (s *thinkServer, err error) {
	if s = (&thinkServer{url: strings.TrimSuffix(c.URL, "/")}); c.URL != "" {
		return s, nil
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "so8t-think-"); err != nil {
		return s, err
	}
	s.link = filepath.Join(s.dir, "current")
	for _, model := range []string{c.Model, c.Promote} {
		path, err := filepath.Abs(model)
		if err != nil {
			return s, err
		}
		if model != "" {
			s.targets = append(s.targets, path)
		}
	}
	if err := s.promote(s.targets[0]); err != nil {
		return s, err
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return s, err
	}
	defer log.Close()
	s.child = exec.Command(c.Worker, append([]string{"serve"}, c.keys(s)...)...)
	s.child.Stderr = log
	s.child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.child.StdoutPipe()
	if err != nil {
		return s, err
	}
	if err := s.child.Start(); err != nil {
		s.child = nil
		return s, err
	}
	first := bufio.NewScanner(out)
	for s.url == "" && first.Scan() {
		_, rest, _ := strings.Cut(first.Text(), " at ")
		s.url, _, _ = strings.Cut(rest, ",")
	}
	if s.url == "" {
		text, _ := os.ReadFile(log.Name())
		return s, fmt.Errorf("%v said no address; its log ends with\n%s", s.child, lastLines(string(text), 5))
	}
	s.watch(ctx)
	return s, nil
}

// keys are those of the child's configuration.
func (c *thinkCommand) keys(s *thinkServer) (args []string) {
	for _, set := range []string{
		"serve.model=" + s.link, "serve.address=127.0.0.1:0", "serve.metrics_address=", "serve.device=cpu",
		fmt.Sprintf("serve.threads=%d", c.Threads), fmt.Sprintf("serve.slots=%d", c.Slots), fmt.Sprintf("serve.queue=%d", 2*c.Clients),
		"serve.poll_seconds=1", "serve.usage=all", "audit.dir=" + filepath.Join(s.dir, "audit"), "audit.keys_dir=" + filepath.Join(s.dir, "keys"),
	} {
		args = append(args, "--set", set)
	}
	return args
}

// promote moves the link.
func (s *thinkServer) promote(model string) error {
	fresh := s.link + "-new"
	return errors.Join(os.Symlink(model, fresh), os.Rename(fresh, s.link))
}

// moveLink moves the link between the models until ctx ends.
func (s *thinkServer) moveLink(ctx context.Context, every time.Duration) error {
	for len(s.targets) > 1 {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		s.promotions++
		if err := s.promote(s.targets[s.promotions%len(s.targets)]); err != nil {
			return err
		}
	}
	return nil
}

// stop has the child drain, and expects that it ends well.
func (s *thinkServer) stop() error {
	if s.sampling != nil {
		s.sampling()
		s.sampled.Wait()
	}
	var err error
	if s.child != nil {
		if err = errors.Join(s.child.Process.Signal(syscall.SIGTERM), s.child.Wait()); err != nil {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			err = fmt.Errorf("%w: its log ends with\n%s", err, lastLines(string(text), 5))
		}
		s.child = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// memorySample is the child's resident memory at a time.
type memorySample struct{ seconds, megabytes float64 }

// watch samples the child's memory once a second.
func (s *thinkServer) watch(ctx context.Context) {
	ctx, s.sampling = context.WithCancel(ctx)
	s.began = time.Now()
	s.sampled.Go(func() {
		for {
			if bytes, err := statusBytesOf(s.child.Process.Pid, "VmRSS"); err == nil {
				s.samples = append(s.samples, memorySample{time.Since(s.began).Seconds(), float64(bytes) / 1e6})
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	})
}

// memoryCurve is resident memory over time, in MB.
type memoryCurve struct {
	Warm  float64 `json:"warm"` // after a tenth of the time
	End   float64 `json:"end"`
	Peak  float64 `json:"peak"`
	Slope float64 `json:"slope_per_minute"` // least squares over the second half
}

// memory ends the sampling; nil: the server is not ours.
func (s *thinkServer) memory() *memoryCurve {
	if s.child == nil {
		return nil
	}
	s.sampling()
	s.sampled.Wait()
	n := len(s.samples)
	m := &memoryCurve{Warm: s.samples[n/10].megabytes, End: s.samples[n-1].megabytes, Slope: 60 * slope(s.samples[n/2:])}
	m.Peak = slices.MaxFunc(s.samples, func(a, b memorySample) int { return int(a.megabytes - b.megabytes) }).megabytes
	return m
}

// slope is that of the straight line nearest to the samples, in MB a second.
func slope(samples []memorySample) float64 {
	var t, m, tt, tm float64
	n := float64(len(samples))
	for _, s := range samples {
		t, m, tt, tm = t+s.seconds, m+s.megabytes, tt+s.seconds*s.seconds, tm+s.seconds*s.megabytes
	}
	if d := n*tt - t*t; d > 0 {
		return (n*tm - t*m) / d
	}
	return 0
}

// cpu is the processor time that the child has used, in seconds.
func (s *thinkServer) cpu() float64 {
	if s.child == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.child.Process.Pid))
	_, rest, found := strings.Cut(string(text), ") ") // behind the program's name, which may hold anything
	fields := strings.Fields(rest)
	if err != nil || !found || len(fields) < 13 {
		return 0
	}
	var user, system float64
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return (user + system) / ticksPerSecond
}

// ownCPUSeconds is the processor time that this process has used.
func ownCPUSeconds() float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}
