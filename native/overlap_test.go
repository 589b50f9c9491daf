package native

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	launchedNext = regexp.MustCompile(`LAUNCH_NEXT\(\(?(\w+)`)
	// What touches memory or leaves the kernel; a prefetch to the L2 cache (CCTL.E.PF2) reads nothing.
	touches = regexp.MustCompile(`^(LD|LDG|LDS|LDL|LDSM|LDGSTS|ST|STG|STS|STL|ATOM|ATOMG|ATOMS|RED|EXIT|RET|BAR)$`)
)

// overlapping returns the kernels that each file launches while the one before still works.
func overlapping(t *testing.T) map[string][]string {
	files, err := filepath.Glob("cuda/*.cu")
	if err != nil || len(files) == 0 {
		t.Fatalf("cuda/*.cu: %v, %v", files, err)
	}
	kernels := map[string][]string{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, launch := range launchedNext.FindAllSubmatch(text, -1) {
			name, file := string(launch[1]), strings.TrimSuffix(filepath.Base(path), ".cu")
			if !slices.Contains(kernels[file], name) {
				kernels[file] = append(kernels[file], name)
			}
		}
	}
	return kernels
}

// Every kernel that may begin while the one before still works waits for it first: on each card that overlaps, by its machine
// code, no way from its beginning touches memory before ACQBULK (griddepcontrol.wait). The emulator cannot show this.
func TestOverlappingKernelsWait(t *testing.T) {
	files := overlapping(t)
	if len(files) < 7 {
		t.Errorf("kernels overlap in %d files only: %v", len(files), files)
	}
	for file, names := range files {
		for _, card := range []string{"sm_90a", "sm_120"} {
			code := machineCode(t, file, card)
			for _, name := range names {
				found := 0
				for mangled, instructions := range code {
					if !regexp.MustCompile(`[0-9]` + name + `(I|E)`).MatchString(mangled) {
						continue
					}
					found++
					if early := beforeWait(instructions); early != "" {
						t.Errorf("%s, %s: %s before it waits", card, mangled, early)
					}
				}
				if found == 0 {
					t.Errorf("%s has no %s for %s", file, name, card)
				}
			}
		}
	}
}

// beforeWait is the first opcode found that touches memory on a way which has not waited.
func beforeWait(code []instruction) string {
	seen, ways := make([]bool, len(code)), []int{0}
	for len(ways) > 0 {
		i := ways[len(ways)-1]
		ways = ways[:len(ways)-1]
		if i >= len(code) || seen[i] || code[i].kinds[0] == "ACQBULK" {
			continue
		}
		if seen[i] = true; touches.MatchString(code[i].kinds[0]) {
			return code[i].kinds[0]
		}
		ways = append(ways, code[i].next...)
	}
	return ""
}
