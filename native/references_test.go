package native

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every kernel's file names the tests that hold its float64 reference, and those tests are where it says.
func TestReferences(t *testing.T) {
	files, err := filepath.Glob("cuda/*.cu")
	if err != nil || len(files) == 0 {
		t.Fatalf("no kernels: %v", err)
	}
	line := regexp.MustCompile(`(?m)^// Reference: (.+) in native/(\w+_test\.go)\.$`)
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := line.FindStringSubmatch(string(text))
		if m == nil {
			if strings.Contains(string(text), "__global__") {
				t.Errorf("%s names no reference", path)
			}
			continue
		}
		tests, err := os.ReadFile(m[2])
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for name := range strings.SplitSeq(m[1], " and ") {
			want := "func " + name + "("
			if operation, found := strings.CutPrefix(name, "TestOperations/"); found {
				want = `"` + operation
			}
			if !strings.Contains(string(tests), want) {
				t.Errorf("%s: %s has no %s", path, m[2], name)
			}
		}
	}
}
