// Package nativetest is what tests that use a GPU share, and those that need one on a machine without.
package nativetest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// Algorithms is one file of algorithms for all contexts that the tests of a process open: a GPU times the algorithms for a
// product, and contexts that time for themselves give other bits.
func Algorithms() string { return filepath.Join(shared(), "algorithms") }

var shared = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "so8t-algorithms-")
	if err != nil {
		panic(err)
	}
	return dir
})

// Main runs the tests and removes what they shared. Packages whose tests open a GPU call it in TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(shared()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// EmulatedGPU makes device: cuda mean the CUDA library's sources on the CPU, for the test and the processes it starts.
// SO8T_EMULATED_FAULT injects faults, SO8T_EMULATED_DEVICES says how many GPUs there are. The test is skipped where the
// emulated library is not built, unless SO8T_REQUIRE_CUDA is set. Leases on GPUs lie in a folder of the test's own.
func EmulatedGPU(t *testing.T) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	built, err := filepath.Abs(cmp.Or(os.Getenv("SO8T_NATIVE_DIR"), filepath.Join(filepath.Dir(here), "..", "build")))
	if err != nil {
		t.Fatal(err)
	}
	emulated := filepath.Join(built, "libso8t_cuda_emulated.so")
	if _, err := os.Stat(emulated); err != nil {
		if os.Getenv("SO8T_REQUIRE_CUDA") != "" {
			t.Fatalf("%v: make native-emulated", err)
		}
		t.Skipf("%v: make native-emulated", err)
	}
	dir := t.TempDir()
	for name, target := range map[string]string{"libso8t_cuda.so": emulated, "libso8t_cpu.so": filepath.Join(built, "libso8t_cpu.so")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SO8T_NATIVE_DIR", dir)
	t.Setenv("TMPDIR", dir)
}
