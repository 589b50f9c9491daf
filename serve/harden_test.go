package serve

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A hardened process is undumpable, has no core limit to raise, and makes files for its owner alone.
func TestHarden(t *testing.T) {
	if path := os.Getenv("SERVE_TEST_HARDEN"); path != "" {
		if err := Harden(); err != nil {
			t.Fatal(err)
		}
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		var limit unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_CORE, &limit)
		if err != nil || dumpable != 0 || limit != (unix.Rlimit{}) {
			t.Fatalf("dumpable %d, %v; core limit %+v", dumpable, err, limit)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "file")
	child := exec.Command(os.Args[0], "-test.run=^TestHarden$") // what it changes holds for the whole process
	child.Env = append(os.Environ(), "SERVE_TEST_HARDEN="+path)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(fmt.Sprint(info.Mode(), err))
	}
}
