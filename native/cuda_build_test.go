package native

import (
	"debug/elf"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ebitengine/purego"

	"so8t/device"
)

// cudaLibrary opens libso8t_cuda.so, which needs no GPU. Without the library the test is skipped, unless SO8T_REQUIRE_CUDA is set.
func cudaLibrary(t *testing.T) *library {
	t.Helper()
	if !found("cuda") {
		if os.Getenv("SO8T_REQUIRE_CUDA") != "" {
			t.Fatal("libso8t_cuda.so is missing: make native-cuda")
		}
		t.Skip("libso8t_cuda.so is not built: make native-cuda")
	}
	l, err := openLibrary("cuda")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func exports(t *testing.T, path string) []string {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF && elf.ST_BIND(s.Info) != elf.STB_LOCAL {
			names[s.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Both libraries export the same functions, and nothing else; their structs lie alike.
func TestCUDALibrary(t *testing.T) {
	cuda := cudaLibrary(t)
	cpu, err := openLibrary("cpu")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := exports(t, cuda.path), exports(t, cpu.path); !slices.Equal(got, want) {
		t.Errorf("the CUDA library exports %v, the CPU library %v", got, want)
	}
	layout := func(l *library) string {
		text, _, _ := purego.SyscallN(l.layout)
		return goString(text)
	}
	if layout(cuda) != layout(cpu) || layout(cpu) == "" {
		t.Error("the structs of the two libraries differ")
	}
}

// Where there is no GPU the error is ErrNoDevice, and auto takes the CPU.
func TestNoDevice(t *testing.T) {
	if found, _ := filepath.Glob("/dev/nvidia*"); len(found) > 0 {
		t.Skip("there is a GPU")
	}
	cudaLibrary(t)
	_, err := Open(Options{Device: device.Device{Kind: device.CUDA}})
	if !errors.Is(err, ErrNoDevice) || !strings.Contains(err.Error(), "open device cuda:0: open: ") {
		t.Errorf("error is %v", err)
	}
	if n, err := GPUs(); n != 0 || err != nil {
		t.Errorf("%d GPUs, %v", n, err)
	}
	d, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if filepath.Base(d.library.path) != "libso8t_cpu.so" {
		t.Errorf("auto took %s", d.library.path)
	}
}
