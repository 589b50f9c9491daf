package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const root = ".." // of the repository: has docker-compose.yml, and make demo runs the worker here

// composeFile is the part of docker-compose.yml that these tests read.
type composeFile struct {
	Services map[string]service
	Volumes  map[string]any
}

type service struct {
	Image       string
	Build       struct{ Context, Dockerfile string }
	Hostname    string
	User        string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	Tmpfs       []string
	Command     []string
	Profiles    []string
	Restart     string
	EnvFile     []string `yaml:"env_file"`
	Environment map[string]string
	Entrypoint  []string
	Ports       []string
	Volumes     []yaml.Node
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	HealthCheck struct{ Test []string }
	StopGrace   string `yaml:"stop_grace_period"`
	Deploy      struct {
		Resources struct {
			Reservations struct {
				Devices []struct {
					Driver       string
					Capabilities []string
				}
			}
		}
	}
}

// mount is a volume or a bind mount, in either of the two notations.
type mount struct {
	Type, Source, Target string
	ReadOnly             bool `yaml:"read_only"`
	Bind                 struct {
		CreateHostPath *bool `yaml:"create_host_path"`
	}
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return c
}

func (c composeFile) service(t *testing.T, name string) service {
	t.Helper()
	s, found := c.Services[name]
	if !found {
		t.Fatalf("docker-compose.yml has no service %s", name)
	}
	return s
}

// environment is that of a service's container: its env files in their order, overridden by
// docker-compose.yml, with the user's .env filled in.
func (c composeFile) environment(t *testing.T, name string, dotEnv map[string]string) map[string]string {
	t.Helper()
	s := c.service(t, name)
	env := map[string]string{}
	for _, path := range s.EnvFile {
		for key, value := range readEnv(t, filepath.Join(root, path)) {
			env[key] = value
		}
	}
	for key, value := range s.Environment {
		env[key] = interpolate(t, value, dotEnv)
	}
	return env
}

var variable = regexp.MustCompile(`\$\$|\$\{(\w+)(:[-?])?([^}]*)\}`)

// interpolate fills in a value as compose does: ${NAME}, ${NAME:-default}, ${NAME:?error}, $$.
func interpolate(t *testing.T, value string, dotEnv map[string]string) string {
	return variable.ReplaceAllStringFunc(value, func(found string) string {
		m := variable.FindStringSubmatch(found)
		set := dotEnv[m[1]]
		switch {
		case found == "$$":
			return "$"
		case set != "" || m[2] == "":
			return set
		case m[2] == ":-":
			return m[3]
		}
		t.Fatalf("%s: %s", m[1], m[3])
		return ""
	})
}

func readEnv(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		// These files must hold nothing that compose would read differently.
		if !ok || strings.ContainsAny(value, " #'\"$\\") {
			t.Fatalf("%s:%d: %q is not a plain KEY=value", path, i+1, line)
		}
		env[key] = value
	}
	return env
}

func (s service) mounts(t *testing.T) (all []mount) {
	t.Helper()
	for _, node := range s.Volumes {
		for node.Kind == yaml.AliasNode {
			node = *node.Alias
		}
		var m mount
		if node.Kind == yaml.ScalarNode {
			parts := strings.Split(node.Value, ":")
			if len(parts) < 2 {
				t.Fatalf("volume %q is neither named nor a path of this host", node.Value)
			}
			m = mount{Type: "volume", Source: parts[0], Target: parts[1]}
			if strings.ContainsAny(m.Source, "./") {
				m.Type = "bind"
			}
		} else if err := node.Decode(&m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func (s service) mountAt(t *testing.T, target string) mount {
	t.Helper()
	for _, m := range s.mounts(t) {
		if m.Target == target {
			return m
		}
	}
	t.Errorf("nothing is mounted at %s", target)
	return mount{}
}

// with returns env, with some values replaced, as a process's environment.
func with(env map[string]string, changes ...string) []string {
	list := os.Environ()
	for key, value := range env {
		list = append(list, key+"="+value)
	}
	if len(changes)%2 != 0 {
		panic(fmt.Sprintf("no value for %s", changes[len(changes)-1]))
	}
	for i := 0; i < len(changes); i += 2 {
		list = append(list, changes[i]+"="+changes[i+1]) // the last value of a name counts
	}
	return list
}
