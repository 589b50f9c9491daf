package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"so8t/contract"
)

const (
	serverModule = "go.temporal.io/server"
	uiModule     = "github.com/temporalio/ui-server/v2"
)

// The containers run the versions that the tests run from Go modules.
func TestImagesAreThePinnedVersions(t *testing.T) {
	c := readCompose(t)
	server := pinned(t, "server", serverModule)
	for name, want := range map[string]string{
		"postgres":  `postgres:16`,
		"schema":    `temporalio/admin-tools:` + regexp.QuoteMeta(server) + `-tctl-[\d.]+-cli-[\d.]+`,
		"temporal":  `temporalio/server:` + regexp.QuoteMeta(server),
		"namespace": `temporalio/admin-tools:` + regexp.QuoteMeta(server) + `-tctl-[\d.]+-cli-[\d.]+`,
		"ui":        `temporalio/ui:` + regexp.QuoteMeta(pinned(t, ".", uiModule)), // that of the CLI's development server
	} {
		if got := c.service(t, name).Image; !regexp.MustCompile("^" + want + "$").MatchString(got) {
			t.Errorf("%s: image %s, want %s", name, got, want)
		}
	}
	if cli := pinned(t, ".", serverModule); cli != server {
		t.Errorf("the development server is %s, the one on PostgreSQL %s", cli, server)
	}
	for name, s := range c.Services {
		built := s.Build.Dockerfile != ""
		if _, version, tagged := strings.Cut(s.Image, ":"); !built && (!tagged || version == "latest") {
			t.Errorf("%s: image %q has no version", name, s.Image)
		}
		if strings.Contains(s.Image, "auto-setup") {
			t.Errorf("%s: %s is deprecated", name, s.Image)
		}
	}
}

// These settings must agree. What TestSurvivesTheLossOfAll itself takes from docker-compose.yml is not
// compared here.
func TestComposeSettings(t *testing.T) {
	c := readCompose(t)
	dotEnv := map[string]string{"POSTGRES_PASSWORD": "secret"}

	postgres := c.environment(t, "postgres", dotEnv)
	server := c.environment(t, "temporal", dotEnv)
	schema := c.environment(t, "schema", dotEnv)
	for what, pair := range map[string][2]string{
		"user":           {postgres["POSTGRES_USER"], server["POSTGRES_USER"]},
		"address":        {server["POSTGRES_SEEDS"], "postgres"},
		"port":           {server["DB_PORT"], "5432"},
		"plugin":         {server["DB"], "postgres12"},
		"password":       {server["POSTGRES_PWD"], postgres["POSTGRES_PASSWORD"]},
		"job's plugin":   {schema["DB"], server["DB"]},
		"job's database": {schema["DBNAME"] + schema["VISIBILITY_DBNAME"], server["DBNAME"] + server["VISIBILITY_DBNAME"]},
		"job's password": {schema["SQL_PASSWORD"], postgres["POSTGRES_PASSWORD"]},
		"job's schema":   {schema["SCHEMA_DIR"], "/etc/temporal/schema/postgresql/v12"}, // in temporalio/admin-tools
	} {
		if pair[0] != pair[1] || pair[0] == "" {
			t.Errorf("%s: %q and %q", what, pair[0], pair[1])
		}
	}

	job := c.environment(t, "namespace", dotEnv)
	if got := strings.Split(job["SEARCH_ATTRIBUTES"], ","); !slices.Equal(got, contract.SearchAttributes()) {
		t.Errorf("search attributes %v, runs set %v", got, contract.SearchAttributes())
	}
	if kept, err := time.ParseDuration(job["NAMESPACE_RETENTION"]); err != nil || kept < 7*24*time.Hour {
		t.Errorf("retention %v %v: a run could vanish before anybody looks", kept, err)
	}
	for _, name := range []string{"namespace", "ui", "worker", "worker-gpu", "think"} {
		env := c.environment(t, name, dotEnv)
		if env["TEMPORAL_ADDRESS"] != "temporal:7233" || env["TEMPORAL_NAMESPACE"] != job["TEMPORAL_NAMESPACE"] {
			t.Errorf("%s looks for Temporal at %s, namespace %s", name, env["TEMPORAL_ADDRESS"], env["TEMPORAL_NAMESPACE"])
		}
		if env["POSTGRES_PASSWORD"]+env["POSTGRES_PWD"]+env["SQL_PASSWORD"] != "" {
			t.Errorf("%s need not know the database's password", name)
		}
	}

	for name, want := range map[string]string{"schema": "schema.sh", "namespace": "namespace.sh"} {
		s := c.service(t, name)
		if len(s.Entrypoint) != 2 || s.Entrypoint[0] != "sh" || s.mountAt(t, s.Entrypoint[1]).Source != "./deploy/"+want {
			t.Errorf("%s runs %v, the tests run deploy/%s", name, s.Entrypoint, want)
		}
	}
	// The image reads this path if DYNAMIC_CONFIG_FILE_PATH is not set.
	if m := c.service(t, "temporal").mountAt(t, "/etc/temporal/config/dynamicconfig/docker.yaml"); m.Source != "./deploy/dynamicconfig.yaml" {
		t.Errorf("dynamic configuration from %s", m.Source)
	}
}

func TestServicesComeBackAndKeepTheirData(t *testing.T) {
	c := readCompose(t)
	jobs := []string{"schema", "namespace"}
	after := map[string]map[string]string{
		"schema":     {"postgres": "service_healthy"},
		"temporal":   {"schema": "service_completed_successfully"},
		"namespace":  {"temporal": "service_healthy"},
		"ui":         {"temporal": "service_healthy"},
		"worker":     {"namespace": "service_completed_successfully"},
		"worker-gpu": {"namespace": "service_completed_successfully"},
	}
	for name, s := range c.Services {
		if slices.Contains(jobs, name) {
			if !strings.HasPrefix(s.Restart, "on-failure") {
				t.Errorf("%s: restart %q", name, s.Restart)
			}
		} else {
			if s.Restart != "unless-stopped" {
				t.Errorf("%s: restart %q", name, s.Restart)
			}
			if len(s.HealthCheck.Test) < 2 {
				t.Errorf("%s has no health check", name)
			}
		}
		for before, condition := range after[name] {
			if s.DependsOn[before].Condition != condition {
				t.Errorf("%s waits for %s: %q, want %s", name, before, s.DependsOn[before].Condition, condition)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open beyond this host", name, port)
			}
		}
		for _, m := range s.mounts(t) {
			if _, named := c.Volumes[m.Source]; m.Type == "volume" && !named {
				t.Errorf("%s: volume %q has no name of its own", name, m.Source)
			}
		}
	}
	if m := c.service(t, "postgres").mountAt(t, "/var/lib/postgresql/data"); m.Type != "volume" || m.Source != "postgres" {
		t.Errorf("the database is on %+v", m)
	}

	for _, name := range []string{"worker", "worker-gpu"} {
		s := c.service(t, name)
		if s.Build.Context != "." || s.Build.Dockerfile != "deploy/Dockerfile" {
			t.Errorf("%s is built from %+v", name, s.Build)
		}
		if s.Hostname == "" || s.Environment["SO8T_HOST"] != s.Hostname || strings.Contains(s.Hostname, "$") {
			t.Errorf("%s: hostname %q, SO8T_HOST %q: the next container would not find its runs", name, s.Hostname, s.Environment["SO8T_HOST"])
		}
		if !strings.HasPrefix(s.User, "${SO8T_UID:-1000}") {
			t.Errorf("%s runs as %q", name, s.User)
		}
		if grace, err := time.ParseDuration(s.StopGrace); err != nil || grace <= timeToLeave(t) {
			t.Errorf("%s is killed %v after it was told to stop; it takes up to %v", name, grace, timeToLeave(t))
		}
		for _, path := range []string{"checkpoints", "configs", "data", "models"} {
			// A directory that docker creates belongs to root: the worker could not write there.
			if m := s.mountAt(t, "/so8t/"+path); m.Source != "./"+path || m.Bind.CreateHostPath == nil || *m.Bind.CreateHostPath {
				t.Errorf("%s: %s is on %+v", name, path, m)
			}
		}
		s.mountAt(t, "/so8t/state")
	}
	if !strings.Contains(readText(t, "Dockerfile"), "TMPDIR=/so8t/state") {
		t.Error("what a worker had under way would be lost with its container")
	}
	gpu := c.service(t, "worker-gpu")
	if devices := gpu.Deploy.Resources.Reservations.Devices; !slices.Equal(gpu.Profiles, []string{"gpu"}) || len(devices) != 1 ||
		devices[0].Driver != "nvidia" || !slices.Equal(devices[0].Capabilities, []string{"gpu"}) {
		t.Errorf("worker-gpu: profiles %v, devices %+v", gpu.Profiles, devices)
	}
}

// A password is only in .env, which git ignores.
func TestNoSecretIsWrittenDown(t *testing.T) {
	secret := regexp.MustCompile(`(?i)^\s*[\w-]*(password|pwd|secret|token|api_?key)[\w-]*\s*[:=]\s*(.*)$`)
	for _, name := range []string{"../docker-compose.yml", "server.env", "client.env", "namespace.env", "env.example", "Dockerfile", "dynamicconfig.yaml"} {
		for i, line := range strings.Split(readText(t, name), "\n") {
			if m := secret.FindStringSubmatch(line); m != nil && m[2] != "" && !strings.HasPrefix(m[2], "${POSTGRES_PASSWORD:?") {
				t.Errorf("%s:%d: %s", name, i+1, line)
			}
		}
	}
	for _, env := range []string{"server.env", "client.env", "namespace.env"} {
		for key := range readEnv(t, env) {
			if secret.MatchString(key + "=x") {
				t.Errorf("%s: %s", env, key)
			}
		}
	}
	if ignored := readText(t, "../.gitignore"); !slices.Contains(strings.Split(ignored, "\n"), "/.env") {
		t.Error(".gitignore lets .env into the repository")
	}
	if ignored := readText(t, "Dockerfile.dockerignore"); !slices.Contains(strings.Split(ignored, "\n"), ".env") {
		t.Error("Dockerfile.dockerignore lets .env into the image's build")
	}
}

// Compose itself reads the file, if it is installed; that needs no engine.
func TestComposeAccepts(t *testing.T) {
	compose := []string{"docker", "compose"}
	if exec.Command("docker", "compose", "version").Run() != nil {
		if _, err := exec.LookPath("docker-compose"); err != nil {
			t.Skip("neither `docker compose` nor docker-compose is installed")
		}
		compose = []string{"docker-compose"}
	}
	run := func(env ...string) (string, error) {
		command := exec.Command(compose[0], append(compose[1:], "--env-file", os.DevNull, "--profile", "gpu", "--profile", "think", "config", "-q")...)
		command.Dir, command.Env = root, append(os.Environ(), env...)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	if out, err := run("POSTGRES_PASSWORD=x"); err != nil || out != "" {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run("POSTGRES_PASSWORD="); err == nil || !strings.Contains(out, "POSTGRES_PASSWORD") {
		t.Errorf("without a password: %v: %s", err, out)
	}
}

// pinned is a module's version, without its v, in the go.mod of that folder of tools/.
func pinned(t *testing.T, folder, module string) string {
	t.Helper()
	command := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module)
	command.Dir = filepath.Join(root, "tools", folder)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("version of %s in tools/%s: %v", module, folder, err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
}

// timeToLeave is what the worker gives its activities when it is told to stop.
func timeToLeave(t *testing.T) time.Duration {
	t.Helper()
	m := regexp.MustCompile(`timeToLeave = (\d+) \* time\.Second`).FindStringSubmatch(readText(t, "../worker/run.go"))
	if m == nil {
		t.Fatal("worker/run.go does not set timeToLeave in seconds")
	}
	d, err := time.ParseDuration(m[1] + "s")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
