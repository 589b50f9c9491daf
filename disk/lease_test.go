package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary, started again, hold a lease until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SO8T_TEST_HOLD"); dir != "" {
		if _, err := AcquireLease(context.Background(), dir, Claimant{"borea", 1, 400 * time.Millisecond}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		time.Sleep(time.Minute)
	}
	os.Exit(m.Run())
}

// holder is another process that holds the lease of dir.
func holder(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "SO8T_TEST_HOLD="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	said := make([]byte, 64)
	if n, _ := out.Read(said); !strings.HasPrefix(string(said[:n]), "held") {
		t.Fatalf("%s", said[:n])
	}
	return c
}

func acquire(t *testing.T, dir, owner string, attempt int64) *Lease {
	t.Helper()
	l, err := AcquireLease(t.Context(), dir, Claimant{owner, attempt, time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Release() })
	return l
}

// A killed holder is replaced at once, a stopped one once its timeout has passed; when it
// wakes up it finds the lease gone, and not a byte of it can be written.
func TestTheDeadAndTheStopped(t *testing.T) {
	dir := t.TempDir()
	killed := holder(t, dir)
	_ = killed.Process.Kill()
	_ = killed.Wait()
	next, err := AcquireLease(t.Context(), dir, Claimant{"nightly", 1, time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Release(); err != nil {
		t.Fatal(err)
	}

	stopped := holder(t, dir)
	if err := stopped.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	next, err = AcquireLease(t.Context(), dir, Claimant{"nightly", 2, time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := stopped.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // in which the woken holder could do damage
	if err := errors.Join(next.Check(), next.Release()); err != nil {
		t.Error(err)
	}
}

func TestLostIsTold(t *testing.T) {
	dir := t.TempDir()
	l, err := AcquireLease(t.Context(), dir, Claimant{"borea", 1, 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	acquire(t, dir, "borea", 2)
	select {
	case <-l.Lost():
	case <-time.After(time.Minute):
		t.Error("not told")
	}
}

func TestOneOfManyGetsTheLease(t *testing.T) {
	dir := t.TempDir()
	const n = 16
	leases := make(chan *Lease, n)
	for range n {
		go func() {
			l, _ := AcquireLease(t.Context(), dir, Claimant{"borea", 1, 4 * time.Second})
			leases <- l
		}()
	}
	winners := 0
	for range n {
		if l := <-leases; l != nil {
			winners++
			defer l.Release()
		}
	}
	if winners != 1 {
		t.Errorf("%d hold the lease", winners)
	}
}

// A process that was stopped within a commit holds the guard. It is waited for, but not for ever, and
// when it wakes up, what it was about to put in place is gone.
func TestStoppedInsideTheGuard(t *testing.T) {
	dir := t.TempDir()
	first, err := AcquireLease(t.Context(), dir, Claimant{"borea", 1, time.Second})
	if err != nil {
		t.Fatal(err)
	}
	inside, wake, late := make(chan struct{}), make(chan struct{}), make(chan error)
	temp := filepath.Join(dir, ".splits.partial-1")
	os.Mkdir(temp, 0o755)
	go func() {
		late <- first.During(func() error {
			close(inside)
			<-wake
			_, err := swap(temp, filepath.Join(dir, "splits"))
			return err
		})
	}()
	<-inside
	second, err := AcquireLease(t.Context(), dir, Claimant{"borea", 2, time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	if err := ReplaceDir(second, filepath.Join(dir, "splits"), fillWith("second")); err != nil {
		t.Fatal(err)
	}
	close(wake)
	if err := <-late; !errors.Is(err, os.ErrNotExist) || contents(t, filepath.Join(dir, "splits")) != "second" {
		t.Errorf("the woken one: %v; %s", err, contents(t, filepath.Join(dir, "splits")))
	}
	if err := second.Check(); err != nil {
		t.Error(err)
	}
}
