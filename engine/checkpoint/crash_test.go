package checkpoint

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"so8t/disk"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests of this file kill a real process: the test binary, started again
// as a trainer that saves twice at each step, the second time to replace the first.
const (
	childDir     = "SO8T_TEST_CHILD_DIR"
	childAttempt = "SO8T_TEST_CHILD_ATTEMPT"
	childSteps   = 6
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		attempt, _ := strconv.Atoi(os.Getenv(childAttempt))
		if err := trainChild(dir, attempt); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// trainChild goes on from the latest checkpoint and prints each step that is saved.
func trainChild(dir string, attempt int) error {
	ctx := context.Background()
	lease, err := disk.AcquireLease(ctx, dir, disk.Claimant{Owner: "borea", Attempt: int64(attempt), Timeout: time.Minute})
	if err != nil {
		return err
	}
	s, err := OpenStore(dir, testID, Options{MaxCheckpoints: 2, Lease: lease, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	step := 0
	state, info, err := s.Latest(ctx)
	switch {
	case err == nil:
		if step = state.Step; !sameTensors(state, testState(step)) || len(info.Rejected) > 0 {
			return fmt.Errorf("restored a wrong state or rejected one: %+v", info)
		}
	case !errors.Is(err, ErrNone):
		return err
	}
	for step++; step <= childSteps; step++ {
		for save := range 2 {
			state := testState(step)
			state.Metrics = json.RawMessage(strconv.Itoa(save))
			if _, err := s.Save(ctx, state, "test"); err != nil {
				return err
			}
			fmt.Println(step)
		}
	}
	return lease.Release()
}

func sameTensors(a, b *State) bool {
	a.Metrics = b.Metrics
	return sameState(a, b)
}

// runChild returns the last step that the child said was saved.
func runChild(t *testing.T, dir string, attempt int, crashAt string, killAfter time.Duration) (acknowledged int, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childAttempt+"="+strconv.Itoa(attempt), "SO8T_CRASH_AT="+crashAt)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if killAfter > 0 {
		timer := time.AfterFunc(killAfter, func() { cmd.Process.Kill() })
		defer timer.Stop()
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		acknowledged, _ = strconv.Atoi(lines.Text())
	}
	return acknowledged, cmd.Wait()
}

func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// wantWhole opens the folder as the next attempt would. It holds what was
// acknowledged, or more; every checkpoint in it is whole; nothing is left over.
func wantWhole(t *testing.T, dir string, attempt, acknowledged int) {
	t.Helper()
	lease, err := disk.AcquireLease(t.Context(), dir, disk.Claimant{Owner: "borea", Attempt: int64(attempt), Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	s := openStore(t, dir, Options{Lease: lease})
	state, info, err := s.Latest(t.Context())
	if acknowledged == 0 && errors.Is(err, ErrNone) && len(info.Rejected) == 0 {
		return
	}
	if err != nil || len(info.Rejected) > 0 {
		t.Fatalf("latest: %v, rejected %v; folder %v", err, info.Rejected, listing(t, dir))
	}
	if state.Step < acknowledged || !sameTensors(state, testState(state.Step)) {
		t.Errorf("step %d was acknowledged, latest is %d", acknowledged, state.Step)
	}
	for _, name := range listing(t, dir) {
		if _, _, err := s.load(t.Context(), filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKillAtEveryCrashPoint(t *testing.T) {
	for _, point := range disk.CrashPoints {
		if !strings.HasPrefix(point, "checkpoint.") {
			continue
		}
		for _, time := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s:%d", point, time), func(t *testing.T) {
				t.Parallel()
				dir := memoryDir(t)
				acknowledged, err := runChild(t, dir, 1, fmt.Sprintf("%s:%d", point, time), 0)
				if !killed(err) {
					t.Fatalf("the child did not come to %s: %v", point, err)
				}
				wantWhole(t, dir, 2, acknowledged)
				if last, err := runChild(t, dir, 3, "", 0); err != nil || last != childSteps {
					t.Fatalf("the next attempt came to step %d: %v", last, err)
				}
				wantWhole(t, dir, 4, childSteps)
			})
		}
	}
}

func TestKillAtRandomTimes(t *testing.T) {
	dir := memoryDir(t)
	acknowledged, kills := 0, 0
	for attempt := 1; attempt < 60; attempt += 2 {
		step, err := runChild(t, dir, attempt, "", time.Duration(1+rand.IntN(40))*time.Millisecond)
		acknowledged = max(acknowledged, step)
		if err == nil {
			break
		}
		if !killed(err) {
			t.Fatal(err)
		}
		kills++
		wantWhole(t, dir, attempt+1, acknowledged)
	}
	t.Logf("%d kills, step %d acknowledged", kills, acknowledged)
}
