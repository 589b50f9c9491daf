package safetensors

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Streaming through a model must not keep its pages.
func TestReleaseKeepsMemoryLow(t *testing.T) {
	const tensors, each = 16, 16 << 20
	var specs []Spec
	for i := range tensors {
		specs = append(specs, Spec{fmt.Sprintf("t%02d", i), U8, []int64{each}})
	}
	header, err := encode(specs, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), SingleName)
	if err := os.WriteFile(path, header, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(header))+tensors*each); err != nil { // sparse
		t.Fatal(err)
	}
	m, err := OpenModel(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()

	before := residentFileKB(t)
	var sum, peak int
	for _, name := range m.Names() {
		tensor, _ := m.Tensor(name)
		for i := 0; i < len(tensor.Data); i += 4096 {
			sum += int(tensor.Data[i])
		}
		peak = max(peak, residentFileKB(t)-before)
		m.Release(name)
	}
	after := residentFileKB(t) - before
	if sum != 0 || peak < each>>11 || peak > 2*each>>10 || after > 4<<10 {
		t.Errorf("resident mapping: peak %d kB with tensors of %d kB, %d kB at the end", peak, each>>10, after)
	}
}

func residentFileKB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	for line := range strings.Lines(string(status)) {
		var kb int
		if n, _ := fmt.Sscanf(line, "RssFile: %d kB", &kb); n == 1 {
			return kb
		}
	}
	t.Skip("no RssFile in /proc/self/status")
	return 0
}
