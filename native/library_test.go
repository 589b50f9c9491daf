package native

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"so8t/device"
)

// A library that is missing, does not load or is another version is an error of the device, and its text says what to do.
func TestLibraryErrors(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "libso8t_cuda.so")
	if err := os.WriteFile(garbage, []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	libc, err := filepath.Glob("/lib*/*/libc.so.6")
	if err != nil || len(libc) == 0 {
		t.Skip("no libc.so.6 where Debian has it")
	}
	load := func(path string) error {
		_, err := loadLibrary(path)
		return err
	}
	_, missing := openLibrary("cuda_of_nobody")
	for _, c := range []struct {
		err  error
		want string
	}{
		{missing, "make native-of_nobody"},
		{load(garbage), "build it anew"},
		{load(libc[0]), "so8t_abi_version is missing"},
	} {
		if !errors.Is(c.err, ErrDevice) || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("error is %v, want %q", c.err, c.want)
		}
	}
	t.Setenv("SO8T_NATIVE_DIR", filepath.Dir(garbage))
	if _, err := Open(Options{}); !errors.Is(err, ErrDevice) {
		t.Errorf("auto beside a broken GPU library: %v", err)
	}
	if d := Resolve(device.Device{}); d.Kind != device.CUDA {
		t.Errorf("auto takes %s instead of the broken GPU library", d)
	}
}
