package native

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// emulatorSources are what a program needs to run kernels on the emulator.
var emulatorSources = []string{"cuda/emulated/fibers.cpp", "cuda/emulated/architecture.cpp", "cuda/emulated/runtime.cpp"}

// wrongTwins are changes to ptx.h of which each must show.
var wrongTwins = []struct{ name, old, new string }{
	{"columns of A that lie side by side", "a[row / 8 + 2 * (k / 8)]", "a[2 * (row / 8) + k / 8]"},
	{"rows of B in the other register", ".b[k / 8]", ".b[1 - k / 8]"},
	{"rows of C one by one", "row = l / 4 + 8 * (i / 2)", "row = l / 4 * 2 + i / 2"},
	{"halves of B's pairs exchanged", "half(x, k % 2) * half(y, k % 2)", "half(x, k % 2) * half(y, 1 - k % 2)"},
	{"a matrix whose rows are read as columns", "rows[8 * m + 2 * (l % 4) + i]) + 2 * (l / 4)", "rows[8 * m + l / 4]) + 2 * (2 * (l % 4) + i)"},
	{"two matrices exchanged", "rows[8 * m + l / 4]) + 4 * (l % 4)", "rows[8 * (m ^ 1) + l / 4]) + 4 * (l % 4)"},
	{"the first float in the high half", "float_to_bfloat(low) | static_cast<uint32_t>(float_to_bfloat(high)) << 16",
		"float_to_bfloat(high) | static_cast<uint32_t>(float_to_bfloat(low)) << 16"},
}

// TestLayouts compares every lane's elements of the emulated mma and ldmatrix with CuTe's layouts in CUTLASS's headers, and
// the conversion to bfloat16 with the toolkit's.
func TestLayouts(t *testing.T) {
	cutlass, toolkit := cutlassHeaders(t)
	dir := t.TempDir()
	want := printed(t, filepath.Join(dir, "cute"), "-w", "-std=c++17", "-I"+cutlass, "-I"+toolkit, "-I"+toolkit+"/cccl", "cuda/layouts/cute.cpp")
	// Each element of A meets a column of B; each of ldmatrix's goes to one place.
	const lines = 32*8*8 + 2*32*8 + 4096
	if len(want) != lines {
		t.Fatalf("CuTe has %d different lines, want %d", len(want), lines)
	}
	var objects []string
	for _, source := range emulatorSources {
		object := filepath.Join(dir, filepath.Base(source)+".o")
		compile(t, append(emulatorFlags, "-c", source, "-o", object)...)
		objects = append(objects, object)
	}
	twins := func(t *testing.T, name string, folder ...string) []string {
		arguments := append(slices.Concat(folder, emulatorFlags), "cuda/layouts/twins.cpp", "-xnone")
		return printed(t, filepath.Join(dir, name), append(arguments, objects...)...)
	}
	if got := twins(t, "twins"); !slices.Equal(got, want) {
		t.Errorf("the twins differ from CuTe: %s", firstDifference(got, want))
	}
	text, err := os.ReadFile("cuda/ptx.h")
	if err != nil {
		t.Fatal(err)
	}
	for i, wrong := range wrongTwins {
		t.Run(wrong.name, func(t *testing.T) {
			if n := strings.Count(string(text), wrong.old); n != 1 {
				t.Fatalf("ptx.h holds the line to be broken %d times", n)
			}
			folder := t.TempDir()
			// A header beside the including one comes first, so the two that include each other are both copied.
			device, err := os.ReadFile("cuda/device.h")
			if err := errors.Join(err, os.WriteFile(folder+"/device.h", device, 0o644)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(folder+"/ptx.h", []byte(strings.Replace(string(text), wrong.old, wrong.new, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			if slices.Equal(twins(t, fmt.Sprint("wrong", i), "-I"+folder), want) {
				t.Error("CuTe does not tell it from the right one")
			}
		})
	}
}

// The same instruction in ptx.h and in CUTLASS has its operands in the same order.
func TestInstructions(t *testing.T) {
	cutlass, _ := cutlassHeaders(t)
	for _, c := range []struct{ instruction, theirs, file string }{
		{"mma.", "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "cute/arch/mma_sm80.hpp"},
		{"ldmatrix.sync.aligned.m8n8.x4.shared", "ldmatrix.sync.aligned.x4.m8n8.shared.b16", "cute/arch/copy_sm75.hpp"},
		{"ldmatrix.sync.aligned.m8n8.x4.trans", "ldmatrix.sync.aligned.x4.trans.m8n8.shared.b16", "cute/arch/copy_sm75.hpp"},
		{"cvt.rn.bf16x2", "cvt.rn.bf16x2.f32", "cutlass/numeric_conversion.h"},
		{"fma.rn.bf16x2", "fma.rn.bf16x2", "cutlass/array.h"},
	} {
		got, want := instructionOf(t, "cuda/ptx.h", c.instruction), instructionOf(t, filepath.Join(cutlass, c.file), c.theirs)
		if got != want {
			t.Errorf("ptx.h has %s\nCUTLASS has %s", got, want)
		}
	}
}

var (
	assembly = regexp.MustCompile(`(?s)asm\s*(?:volatile)?\s*\(((?:\s*"[^"]*")+)\s*:(.*?)\);\s`)
	operand  = regexp.MustCompile(`"[=+]?\w"\s*\(([^()]*(?:\([^()]*\))?[^()]*)\)`)
	// operandNames are this project's and CUTLASS's names of one thing.
	operandNames = map[string]string{"shared_address(row)": "address", "smem_int_ptr": "address", "high": "second", "low": "first",
		"source[1]": "second", "source[0]": "first", "r": "result", "d": "result",
		"a_ptr[i]": "a", "b_ptr[i]": "b", "c_ptr[i]": "c", "result_ptr[i]": "result"}
)

// instructionOf is the first instruction of a file that begins so: its parts in alphabetical order, its operands by name.
func instructionOf(t *testing.T, path, begins string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range assembly.FindAllStringSubmatch(string(text), -1) {
		code := regexp.MustCompile(`"|\\n|;|\s`).ReplaceAllString(m[1], "")
		if !strings.HasPrefix(code, begins) {
			continue
		}
		operands := operand.FindAllStringSubmatch(m[2], -1)
		at := strings.IndexAny(code, "%{")
		named := regexp.MustCompile(`%\d+`).ReplaceAllStringFunc(code[at:], func(number string) string {
			var i int
			if _, err := fmt.Sscanf(number, "%%%d", &i); err != nil || i >= len(operands) {
				t.Fatalf("%s: %s has no operand %s", path, begins, number)
			}
			name := operands[i][1]
			index := regexp.MustCompile(`^(?:[cr]\[?|d|dst)(\d)\]?$`).ReplaceAllString(name, "result$1") // c is d in place
			index = regexp.MustCompile(`^([ab])\[(\d)\]$`).ReplaceAllString(index, "$1$2")
			return cmp.Or(operandNames[index], index)
		})
		return strings.Join(slices.Sorted(slices.Values(strings.Split(code[:at], "."))), ".") + named
	}
	t.Fatalf("%s has no %s", path, begins)
	return ""
}

var emulatorFlags = []string{"-std=c++17", "-ffp-contract=off", "-march=x86-64-v3", "-DSO8T_EMULATED", "-DSO8T_ISA=cuda",
	"-Icuda/emulated", "-Icuda", "-Iabi", "-Iinclude", "-xc++"}

func compile(t *testing.T, arguments ...string) {
	t.Helper()
	if out, err := exec.Command(cmp.Or(os.Getenv("CXX"), "g++"), arguments...).CombinedOutput(); err != nil {
		t.Fatalf("g++ %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

// printed are the sorted lines of a program, each once.
func printed(t *testing.T, program string, arguments ...string) []string {
	t.Helper()
	compile(t, append(arguments, "-o", program)...)
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		lines[line] = true
	}
	return slices.Sorted(maps.Keys(lines))
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("%q, want %q", got[i], want[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(got), len(want))
}

// cutlassHeaders are the folders of CUTLASS's headers and of the toolkit's. SO8T_REQUIRE_CUDA insists on them, and has
// CUTLASS's installed.
func cutlassHeaders(t *testing.T) (cutlass, toolkit string) {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("SO8T_REQUIRE_CUDA") != "" {
		missing = t.Fatalf
		if out, err := exec.Command("../tools/cutlass.sh", "../.cuda/cutlass").CombinedOutput(); err != nil {
			t.Fatalf("tools/cutlass.sh: %v\n%s", err, out)
		}
	}
	cutlass = "../.cuda/cutlass/cutlass_library/source/include"
	if _, err := os.Stat(cutlass + "/cute/layout.hpp"); err != nil {
		missing("CUTLASS's headers are missing: tools/cutlass.sh .cuda/cutlass")
	}
	homes := []string{os.Getenv("CUDA_HOME"), "../.cuda/site/nvidia/cu13"}
	if nvcc, err := exec.LookPath("nvcc"); err == nil {
		homes = append([]string{filepath.Dir(filepath.Dir(nvcc))}, homes...)
	}
	for _, home := range homes {
		toolkit = home + "/include"
		if _, err := os.Stat(toolkit + "/cuda_bf16.h"); home != "" && err == nil {
			return cutlass, toolkit
		}
	}
	missing("the CUDA toolkit's headers are missing: make native-cuda")
	return "", ""
}
