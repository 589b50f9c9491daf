// Package house holds what is true of the repository as a whole.
package house

import (
	"os/exec"
	"strings"
	"testing"
)

// mayImport lists, for each package, which packages of this module it may depend on,
// directly or through others. Imports point one way: what decides never sees what computes.
var mayImport = map[string][]string{
	"disk":               {},
	"crashlab/powerfs":   {},
	"crashlab":           {"crashlab/powerfs", "contract", "configs", "disk"},
	"configs":            {},
	"contract":           {"configs"},
	"workflows":          {"contract", "configs"},
	"tokenizer":          {},
	"dataset":            {"tokenizer", "disk"},
	"internal/fuzzguard": {}, // for tests
	"native":             {},
	"native/nvml":        {},
	"deploy":             {},
	"engine/safetensors": {"disk"},
	"engine/checkpoint":  {"engine/safetensors", "disk"},
	"engine/phi3":        {"disk", "native", "engine/safetensors", "tokenizer", "dataset"},
	"engine":             {"disk", "configs", "native", "engine/phi3", "engine/safetensors", "engine/checkpoint", "tokenizer", "dataset"},
	"export":             {"disk", "configs", "engine", "native", "engine/phi3", "engine/safetensors", "engine/checkpoint", "tokenizer", "dataset"},
	"export/peft":        {"export", "disk", "configs", "engine", "native", "engine/phi3", "engine/safetensors", "engine/checkpoint", "tokenizer", "dataset"},
	"export/merged":      {"export", "disk", "configs", "engine", "native", "engine/phi3", "engine/safetensors", "engine/checkpoint", "tokenizer", "dataset"},
	"evaluation":         {"disk", "configs", "engine", "native", "engine/phi3", "engine/safetensors", "engine/checkpoint", "tokenizer", "dataset"},
	"telemetry":          {"disk", "native", "native/nvml"},
	"rundir":             {"disk", "contract", "configs"},
	"activities": {"disk", "rundir", "telemetry", "contract", "configs", "evaluation", "export", "export/peft", "export/merged", "engine",
		"native", "native/nvml", "engine/phi3", "engine/safetensors", "engine/checkpoint", "tokenizer", "dataset"},
	"worker/start":    {"contract", "configs"},
	"worker/schedule": {"contract", "configs", "worker/start"},
	"worker": {"disk", "rundir", "telemetry", "worker/start", "worker/schedule", "workflows", "activities", "contract", "configs", "evaluation",
		"export", "export/peft", "export/merged", "engine", "native", "native/nvml", "engine/phi3",
		"engine/safetensors", "engine/checkpoint", "tokenizer", "dataset"},
}

// outside lists modules that only some packages may reach.
var outside = map[string][]string{
	"go.temporal.io/sdk/":             {"crashlab", "workflows", "activities", "worker", "worker/start", "worker/schedule"},
	"github.com/ebitengine/purego": {"native", "native/nvml", "engine", "engine/phi3", "export", "export/peft", "export/merged", "evaluation",
		"telemetry", "activities", "worker"},
	"github.com/apache/arrow/go/":     {"dataset", "engine", "engine/phi3", "export", "export/peft", "export/merged", "evaluation", "activities", "worker"},
	"gonum.org/v1/":                   {"evaluation", "activities", "worker"},
	"github.com/stretchr/testify":     {"crashlab", "worker", "workflows", "activities", "worker/start", "worker/schedule"}, // through Temporal's SDK
	"github.com/hanwen/go-fuse/":      {"crashlab/powerfs", "crashlab"},                                                     // for tests only
	"net/http/pprof":                  {},
	"github.com/temporalio/cli":       {},
	"go.temporal.io/sdk/testsuite":    {},
	"github.com/alecthomas/kong":      {"crashlab", "worker"},
	"go.temporal.io/sdk/contrib/envc": {"worker"},
}

func TestImportsPointOneWay(t *testing.T) {
	for pkg, allowed := range mayImport {
		deps := depsOf(t, pkg)
		for _, dep := range deps {
			if inside, ours := strings.CutPrefix(dep, "so8t/"); ours && inside != pkg && !contains(allowed, inside) {
				t.Errorf("%s depends on %s", pkg, inside)
			}
			for prefix, who := range outside {
				if strings.HasPrefix(dep, prefix) && !contains(who, pkg) {
					t.Errorf("%s depends on %s", pkg, dep)
				}
			}
		}
	}
}

// A package that the table does not know would be unguarded.
func TestEveryPackageIsInTheTable(t *testing.T) {
	for _, line := range goList(t, "./...") {
		pkg, _ := strings.CutPrefix(line, "so8t/")
		if _, known := mayImport[pkg]; !known && line != "so8t" && !strings.HasPrefix(pkg, "bench") && !strings.HasPrefix(pkg, "demo") {
			t.Errorf("%s stands in no row of mayImport", pkg)
		}
	}
}

func depsOf(t *testing.T, pkg string) []string { return goList(t, "-deps", "./"+pkg) }

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
