package native

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Prints where it would look for the library of its arguments' names.
const placesProgram = `#include "places.h"
#include <cstdio>
int main(int n, char** arguments) {
    const std::vector<std::string> names(arguments + 2, arguments + n);
    const so8t::Places places = so8t::library_places(names, arguments[1]);
    for (const std::string& path : places.paths) std::puts(path.c_str());
    std::string problem;
    void* library = so8t::open_library(places, problem);
    std::printf("%s\n%s\n%s\n", library ? "loaded" : "none loads", problem.c_str(), places.text(names).c_str());
}
`

// A library is found where the toolkit or only a Python environment has it, active or merely first in PATH.
func TestLibraryPlaces(t *testing.T) {
	root := t.TempDir()
	in := func(path string) string { return filepath.Join(root, path) }
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(in(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in(path), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("places.cpp", placesProgram, 0o644)
	compile := exec.Command("g++", "-std=c++17", "-Icuda", "-o", in("places"), in("places.cpp"), "-xc++", "cuda/places.cu", "-ldl")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const wheel = "lib/python3.12/site-packages/nvidia/cu13/lib/libX.so.2"
	const debian = "lib/python3.12/dist-packages/nvidia/cu13/lib/libX.so.2"
	older := strings.Replace(wheel, ".so.2", ".so.1", 1)
	for _, path := range []string{"toolkit/lib64/libX.so.2", "active/" + wheel, "conda/lib/libX.so.2", "ven[v]/" + wheel, "system/" + wheel, "system/" + debian,
		"usr/local/cuda-13.0/lib64/libX.so.2", "usr/local/" + debian, "home/.local/" + wheel, "home/.local/" + older} {
		write(path, "no library", 0o644)
	}
	write("system/bin/python3.12", "#!/bin/false", 0o755)
	for link, to := range map[string]string{"system/bin/python3": "python3.12", "ven[v]/bin/python3": in("system/bin/python3")} {
		if err := os.MkdirAll(filepath.Dir(in(link)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, in(link)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(environment ...string) []string {
		t.Helper()
		c := exec.Command(in("places"), root, "libX.so.2", "libX.so.1")
		c.Env = environment
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(out), root+"/", ""), "\n"), "\n")
	}
	for _, c := range []struct {
		environment, want []string
	}{
		{nil, []string{"usr/local/cuda-13.0/lib64/libX.so.2", "usr/local/" + debian}},
		{[]string{"CUDA_HOME=" + in("toolkit")}, []string{"toolkit/lib64/libX.so.2"}},
		{[]string{"CUDA_PATH=" + in("toolkit")}, []string{"toolkit/lib64/libX.so.2"}},
		{[]string{"VIRTUAL_ENV=" + in("active")}, []string{"active/" + wheel}},
		{[]string{"CONDA_PREFIX=" + in("conda")}, []string{"conda/lib/libX.so.2"}},
		{[]string{"PATH=relative:/nowhere:" + in("ven[v]/bin") + ":" + in("active/bin")},
			[]string{"ven[v]/" + wheel, "system/" + wheel, "system/" + debian}},
		{[]string{"HOME=" + in("home")},
			[]string{"usr/local/cuda-13.0/lib64/libX.so.2", "usr/local/" + debian, "home/.local/" + wheel, "libX.so.1", "home/.local/" + older}},
	} {
		got := run(c.environment...)
		if got[0] != "libX.so.2" || !slices.Equal(got[1:1+len(c.want)], c.want) {
			t.Errorf("%v: looked at %q, want %q", c.environment, got, c.want)
		}
		text := got[len(got)-3:]
		if text[0] != "none loads" || !strings.Contains(text[1], c.want[0]) || !strings.HasPrefix(text[2], "libX.so.2 or libX.so.1 in the loader's path, ") {
			t.Errorf("%v: said %q", c.environment, text)
		}
	}
	long := run("CUDA_HOME="+strings.Repeat("/far", 140), "VIRTUAL_ENV="+in("active"))
	if text := long[len(long)-1]; len(text) > 700 || !strings.HasSuffix(text, "more folders") {
		t.Errorf("said %q", text)
	}
}
