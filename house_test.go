// Package house holds what is true of the repository as a whole.
package house

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// row is a package and what it imports of this module.
type row struct {
	name    string
	imports []string
}

// floors lists every package from the ground up, with its direct imports: all of them stand above it in this list, so
// that arrows point down. Nothing imports what stands aside.
var floors = []struct {
	name string
	rows []row
}{
	{"1: depends on nothing", []row{
		{"device", nil},
		{"disk", nil},
		{"fuzzguard", nil}, // for tests
		{"native", []string{"device"}},
		{"native/nativetest", nil}, // for tests
		{"native/nvml", nil},
		{"page", nil},
		{"page/pagetest", nil}, // for tests
		{"policy/robots", nil},
		{"policy", []string{"policy/robots"}}, // nothing of this project but its own robots.txt
		{"quadruple/ahocorasick", nil},
		{"quadruple", []string{"quadruple/ahocorasick"}},
		{"tokenizer/jinja", nil},
		{"tokenizer", []string{"tokenizer/jinja"}},
		{"decision", []string{"quadruple", "tokenizer"}},
		{"quadruple/quadrupletest", []string{"quadruple", "tokenizer"}}, // for tests
		{"version", nil},
	}},
	{"2: what is read, and what crosses between workflows and activities", []row{
		{"configs", []string{"device", "policy", "quadruple"}},
		{"contract", []string{"configs", "device"}},
		{"dataset/flatbuf", nil},
		{"dataset/neardup", nil},
		{"dataset/record", []string{"quadruple"}},
		{"dataset/source", []string{"dataset/flatbuf"}},
		{"dataset", []string{"dataset/flatbuf", "dataset/neardup", "dataset/record", "dataset/source", "disk", "policy", "quadruple", "tokenizer"}},
		{"dataset/card", []string{"dataset", "disk", "page", "policy", "quadruple"}},
		{"engine/safetensors", []string{"disk"}},
	}},
	{"3: what computes", []row{
		{"engine/checkpoint", []string{"disk", "engine/safetensors", "version"}},
		{"engine/phi3", []string{"engine/safetensors", "native"}},
		{"engine", []string{"configs", "dataset", "device", "engine/checkpoint", "engine/phi3", "engine/safetensors", "native"}},
	}},
	{"4: what comes of it", []row{
		{"evaluation", []string{"dataset", "decision", "disk", "engine", "quadruple", "version"}},
		{"export", []string{"configs", "engine", "engine/checkpoint", "version"}},
		{"export/merged", []string{"disk", "engine", "engine/safetensors", "export"}},
		{"export/peft", []string{"disk", "engine", "engine/safetensors", "export"}},
		{"evaluation/evaluationtest", []string{"evaluation", "quadruple"}},
		{"evaluation/report", []string{"disk", "evaluation", "page", "quadruple"}},
		{"telemetry", []string{"disk", "native", "native/nvml", "version"}},
	}},
	{"5: what answers", []row{
		{"serve/panics", nil},
		{"serve/audit", []string{"disk", "serve/panics", "version"}},
		{"serve/guard", []string{"decision", "engine", "quadruple", "quadruple/ahocorasick", "serve/audit", "serve/panics", "tokenizer"}},
		{"serve/servetest", []string{"engine", "quadruple", "serve/audit", "serve/guard", "tokenizer"}}, // for tests
		{"serve/model", []string{"device", "engine", "engine/phi3", "serve/guard", "serve/panics", "tokenizer"}},
		{"serve/promotion", []string{"engine", "native", "quadruple", "serve/guard", "tokenizer"}},
		{"serve/escalation", []string{"contract", "disk", "serve/audit", "serve/guard", "serve/panics"}},
		{"serve/api", []string{"serve/escalation", "serve/guard", "serve/panics", "tokenizer"}},
		{"serve", []string{"serve/api", "serve/guard", "serve/panics"}},
	}},
	{"6: where it lies", []row{
		{"rundir", []string{"configs", "contract", "device", "disk", "version"}},
	}},
	{"7: Temporal", []row{
		{"activities", []string{
			"configs", "contract", "dataset", "dataset/card", "dataset/record", "dataset/source", "device", "disk", "engine",
			"engine/checkpoint", "engine/phi3", "engine/safetensors", "evaluation", "evaluation/report", "export",
			"export/merged", "export/peft", "native", "native/nvml", "policy", "rundir", "telemetry", "tokenizer", "version",
		}},
		{"workflows", []string{"contract"}},
	}},
	{"8: the program", []row{
		{"worker/table", []string{"page"}},
		{"worker/ask", []string{"worker/table"}},
		{"worker/audit", []string{"disk", "serve/audit"}},
		{"worker/data", []string{"activities", "configs", "dataset", "dataset/source", "page", "quadruple", "tokenizer", "worker/table"}},
		{"worker/policy", []string{"policy", "policy/robots"}},
		{"worker/start", []string{"configs", "contract"}},
		{"worker/schedule", []string{"contract", "worker/start"}},
		{"worker/serve", []string{
			"configs", "device", "serve", "serve/api", "serve/audit", "serve/escalation", "serve/guard", "serve/model", "serve/panics",
			"serve/promotion", "workflows",
		}},
		{"worker", []string{
			"activities", "contract", "disk", "version", "worker/ask", "worker/audit", "worker/data", "worker/policy", "worker/schedule",
			"worker/serve", "worker/start", "workflows",
		}},
	}},
	{"aside", []row{
		{"bench", []string{
			"configs", "dataset", "dataset/record", "device", "disk", "engine", "engine/checkpoint", "engine/phi3",
			"engine/safetensors", "export", "export/merged", "export/peft", "native", "native/nvml", "policy", "quadruple",
			"telemetry", "tokenizer", "version",
		}},
		{"crashlab/powerfs", nil},
		{"crashlab", []string{"contract", "crashlab/powerfs", "disk", "rundir", "serve/audit"}},
		{"deploy", nil},
	}},
}

// outside lists who imports a module of others, standard library apart.
var outside = map[string][]string{
	"github.com/alecthomas/kong":         {"bench", "crashlab", "worker"},
	"github.com/andybalholm/brotli":      {"dataset/source"},
	"github.com/apache/arrow/go/v17":     {"dataset"},
	"github.com/ebitengine/purego":       {"bench", "native", "native/nvml"},
	"github.com/go-json-experiment/json": {"dataset/record", "dataset/source", "serve/api"},

	"github.com/google/flatbuffers":       {"dataset/flatbuf"},
	"github.com/hanwen/go-fuse/v2":        {"crashlab/powerfs"},
	"github.com/klauspost/compress":       {"dataset/source"},
	"github.com/nyaruka/phonenumbers":     {"policy"},
	"github.com/parquet-go/parquet-go":    {"dataset/source"},
	"github.com/pierrec/lz4/v4":           {"dataset/source"},
	"github.com/prometheus/client_golang": {"serve/api"},
	"github.com/zeebo/xxh3":               {"dataset/neardup"},
	"go.temporal.io/api":                  {"activities", "crashlab", "serve/escalation", "worker", "worker/schedule", "worker/start"},
	"go.temporal.io/sdk": {
		"activities", "crashlab", "serve/escalation", "worker", "worker/schedule", "worker/serve",
		"worker/start", "workflows",
	},
	"go.temporal.io/sdk/contrib/envconfig":          {"worker"},
	"golang.org/x/sys":                              {"crashlab/powerfs", "dataset", "disk", "engine/checkpoint", "engine/safetensors", "serve", "serve/audit"},
	"golang.org/x/net":                              {"page/pagetest", "policy", "policy/robots"},
	"golang.org/x/sync":                             {"dataset", "dataset/neardup"},
	"golang.org/x/text":                             {"dataset/neardup", "dataset/record", "dataset/source", "quadruple", "tokenizer/jinja", "worker/table"},
	"golang.org/x/mod":                              {"serve/audit"},
	"golang.org/x/time":                             {"serve/api"},
	"go.opentelemetry.io/otel":                      {"serve/api"},
	"go.opentelemetry.io/otel/exporters/prometheus": {"serve/api"},
	"go.opentelemetry.io/otel/metric":               {"serve/api"},
	"go.opentelemetry.io/otel/sdk/metric":           {"serve/api"},
	"google.golang.org/protobuf":                    {"serve/escalation"},
	"gonum.org/v1/plot":                             {"evaluation/report", "page"},
	"google.golang.org/grpc":                        {"worker"},
	"gopkg.in/yaml.v3":                              {"configs"},
}

// never lists what a package may not reach, directly or through others.
var never = map[string][]string{
	"workflows":    {"so8t/native", "so8t/engine", "so8t/disk"}, // what decides never sees what computes
	"worker/start": {"so8t/native", "so8t/engine"},
	"rundir":       {"go.temporal.io"},
	"export":       {"go.temporal.io"},
	"telemetry":    {"go.temporal.io"},
	"decision":     {"so8t/engine"},
	"serve/audit":  {"so8t/engine", "so8t/quadruple", "go.temporal.io"}, // what holds no thinking cannot reach any
	"serve/guard":  {"go.temporal.io"},
	"serve/model":  {"go.temporal.io"},
	"serve":        {"so8t/activities", "so8t/rundir", "so8t/workflows"},
}

// imported is a package as `go list -json` describes it.
type imported struct {
	ImportPath             string
	GoFiles, Imports, Deps []string
	Module                 *struct{ Path string }
}

func TestImportsPointDown(t *testing.T) {
	packages := list(t, "./...")
	below := []string{}
	for _, floor := range floors {
		for _, r := range floor.rows {
			p := packages["so8t/"+r.name]
			if p == nil {
				t.Errorf("%s stands on a floor, but there is no such package", r.name)
				continue
			}
			r.check(t, p, below)
			if floor.name != "aside" || strings.Contains(r.name, "/") {
				below = append(below, r.name)
			}
			delete(packages, "so8t/"+r.name)
		}
	}
	delete(packages, "so8t")
	for path := range packages {
		t.Errorf("%s stands on no floor", path)
	}
}

// check holds a row against the package. below are those it may import at all.
func (r row) check(t *testing.T, p *imported, below []string) {
	var used []string
	for _, path := range p.Imports {
		to, ours := strings.CutPrefix(path, "so8t/")
		if !ours {
			continue
		}
		used = append(used, to)
		if !slices.Contains(r.imports, to) {
			t.Errorf("%s imports %s, which its row does not list", r.name, to)
		}
		if !slices.Contains(below, to) {
			t.Errorf("%s imports %s, which does not stand below it", r.name, to)
		}
	}
	for _, to := range r.imports {
		if !slices.Contains(used, to) {
			t.Errorf("%s may import %s, and does not", r.name, to)
		}
	}
	for _, path := range p.Deps {
		for _, bad := range never[r.name] {
			if path == bad || strings.HasPrefix(path, bad+"/") {
				t.Errorf("%s reaches %s", r.name, path)
			}
		}
	}
}

func TestWhoImportsOtherModules(t *testing.T) {
	packages := list(t, "-deps", "./...")
	used := map[string][]string{}
	for path, p := range packages {
		name, ours := strings.CutPrefix(path, "so8t/")
		if !ours {
			continue
		}
		for _, dep := range p.Imports {
			from := packages[dep]
			if from == nil || from.Module == nil || from.Module.Path == "so8t" {
				continue
			}
			module := from.Module.Path
			if !slices.Contains(used[module], name) {
				used[module] = append(used[module], name)
			}
			if !slices.Contains(outside[module], name) {
				t.Errorf("%s imports %s", name, module)
			}
		}
	}
	for module, names := range outside {
		for _, name := range names {
			if !slices.Contains(used[module], name) {
				t.Errorf("%s may import %s, and does not", name, module)
			}
		}
	}
}

func list(t *testing.T, args ...string) map[string]*imported {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,GoFiles,Imports,Deps,Module"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	packages := map[string]*imported{}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p imported
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = &p
	}
	return packages
}
