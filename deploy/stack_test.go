package deploy

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// stack is what docker-compose.yml describes, without containers: PostgreSQL, the two jobs, the server and
// the worker, each with the environment of its container, except for addresses, ports and paths.
type stack struct {
	t        *testing.T
	compose  composeFile
	dotEnv   map[string]string
	postgres string // the directory of its programs
	dir      string // of everything written
	as       *syscall.Credential
	ports    map[string]string
	worker   string // the program
	client   client.Client

	services map[string]*process
}

// process is a service that runs or has run.
type process struct {
	*exec.Cmd
	ended chan struct{}
}

// newStack finds the programs. If one is missing it skips the test, unless SO8T_REQUIRE_POSTGRES=1.
func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, compose: readCompose(t), dotEnv: map[string]string{"POSTGRES_PASSWORD": rand.Text()}, services: map[string]*process{}}
	var missing []string
	for _, name := range []string{"temporal-server", "temporal-sql-tool", "temporal"} {
		if _, err := os.Stat(filepath.Join(root, "bin", name)); err != nil {
			missing = append(missing, "bin/"+name+" (make build server)")
		}
	}
	if s.postgres = postgresPrograms(); s.postgres == "" {
		missing = append(missing, "PostgreSQL's initdb (apt-get install postgresql)")
	}
	if len(missing) > 0 {
		if text := "missing: " + strings.Join(missing, ", "); os.Getenv("SO8T_REQUIRE_POSTGRES") == "1" {
			t.Fatal(text)
		} else {
			t.Skip(text)
		}
	}

	// Not t.TempDir: only its owner may enter it, and PostgreSQL refuses to run as root.
	var err error
	if s.dir, err = os.MkdirTemp("", "so8t-deploy-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	if err := os.Chmod(s.dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		s.as = ordinaryUser(t)
	}
	// Membership ports must lie below 32768.
	s.ports = freePorts(t, "postgres", "FRONTEND_GRPC_PORT", "FRONTEND_HTTP_PORT", "FRONTEND_MEMBERSHIP_PORT", "HISTORY_GRPC_PORT",
		"HISTORY_MEMBERSHIP_PORT", "MATCHING_GRPC_PORT", "MATCHING_MEMBERSHIP_PORT", "WORKER_GRPC_PORT", "WORKER_MEMBERSHIP_PORT")

	s.worker = filepath.Join(s.dir, "worker")
	build := exec.Command("go", "build", "-o", s.worker, "./worker")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Cleanup(s.kill)
	return s
}

func postgresPrograms() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil { // the others may not be linked
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian keeps them out of PATH
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

func ordinaryUser(t *testing.T) *syscall.Credential {
	t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(u.Uid, 10, 32)
			gid, _ := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	t.Fatal("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
	return nil
}

func freePorts(t *testing.T, names ...string) map[string]string {
	t.Helper()
	ports := map[string]string{}
	start := 15000 + int(rand.Text()[0])*100 + os.Getpid()%100 // apart from other tests on this machine
	for port := start; len(ports) < len(names); port++ {
		if port > 32000 {
			t.Fatal("no free ports below 32768")
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer listener.Close()
		ports[names[len(ports)]] = strconv.Itoa(port)
	}
	return ports
}

// serverEnvironment is the environment of a service that reads server.env.
func (s *stack) serverEnvironment(service string) []string {
	module, err := exec.Command("go", "-C", filepath.Join(root, "tools", "server"), "list", "-m", "-f", "{{.Dir}}", serverModule).Output()
	if err != nil {
		s.t.Fatalf("source of %s: %v", serverModule, err)
	}
	env := s.compose.environment(s.t, service, s.dotEnv)
	changes := []string{
		"POSTGRES_SEEDS", "127.0.0.1", "DB_PORT", s.ports["postgres"],
		"SCHEMA_DIR", strings.Replace(env["SCHEMA_DIR"], "/etc/temporal", strings.TrimSpace(string(module)), 1),
		"DYNAMIC_CONFIG_FILE_PATH", absolute(s.t, "dynamicconfig.yaml"), "SOURCE", strings.TrimSpace(string(module)),
	}
	for name, port := range s.ports {
		changes = append(changes, name, port)
	}
	return with(env, append(changes, s.here()...)...)
}

func (s *stack) clientEnvironment(service string) []string {
	return with(s.compose.environment(s.t, service, s.dotEnv), append(s.here(), "TEMPORAL_ADDRESS", s.address())...)
}

// here is what differs for every service: this checkout's programs come first, and no profile is read.
func (s *stack) here() []string {
	return []string{"PATH", absolute(s.t, filepath.Join(root, "bin")) + ":" + os.Getenv("PATH"), "HOME", s.dir, "XDG_CONFIG_HOME", s.dir}
}

func (s *stack) address() string { return "127.0.0.1:" + s.ports["FRONTEND_GRPC_PORT"] }

// makeDatabase does what PostgreSQL's image does at its first start.
func (s *stack) makeDatabase() {
	s.t.Helper()
	data, password := filepath.Join(s.dir, "postgres"), filepath.Join(s.dir, "password")
	env := s.compose.environment(s.t, "postgres", s.dotEnv)
	if err := errors.Join(os.Mkdir(data, 0o700), os.WriteFile(password, []byte(env["POSTGRES_PASSWORD"]), 0o600)); err != nil {
		s.t.Fatal(err)
	}
	if s.as != nil {
		if err := errors.Join(os.Chown(data, int(s.as.Uid), int(s.as.Gid)), os.Chown(password, int(s.as.Uid), int(s.as.Gid))); err != nil {
			s.t.Fatal(err)
		}
	}
	command := exec.Command(filepath.Join(s.postgres, "initdb"), "-D", data, "-U", env["POSTGRES_USER"], "--pwfile", password,
		"--auth", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8")
	command.Dir, command.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.as}
	if out, err := command.CombinedOutput(); err != nil {
		s.t.Fatalf("initdb: %v\n%s", err, out)
	}
}

// writeServerConfig does what the entry point of the server's image does: it fills in the template, which
// is a file of the server's module.
func (s *stack) writeServerConfig() {
	s.t.Helper()
	env := map[string]string{}
	for _, pair := range s.serverEnvironment("temporal") {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	// The functions are those of dockerize, which the image uses.
	functions := template.FuncMap{"lower": strings.ToLower, "split": strings.Split, "trim": strings.TrimSpace,
		"default": func(value any, other string) any {
			if value == nil {
				return other
			}
			return value
		}}
	source := filepath.Join(env["SOURCE"], "docker", "config_template.yaml")
	t, err := template.New(filepath.Base(source)).Funcs(functions).ParseFiles(source)
	if err != nil {
		s.t.Fatal(err)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, map[string]any{"Env": env}); err != nil {
		s.t.Fatal(err)
	}
	dir := filepath.Join(s.dir, "server", "config")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "docker.yaml"), text.Bytes(), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

// job runs the script of a one-shot service to its end.
func (s *stack) job(service string, env []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	entry := s.compose.service(s.t, service).Entrypoint
	command := exec.CommandContext(ctx, entry[0], filepath.Join(root, s.compose.service(s.t, service).mountAt(s.t, entry[1]).Source))
	command.Env = env
	if out, err := command.CombinedOutput(); err != nil {
		s.t.Fatalf("job %s: %v\n%s\n%s", service, err, out, s.said("temporal"))
	}
}

// start starts a service once; until starts it again when it ends.
func (s *stack) start(service string) {
	s.t.Helper()
	var command *exec.Cmd
	switch service {
	case "postgres":
		command = exec.Command(filepath.Join(s.postgres, "postgres"), "-D", filepath.Join(s.dir, "postgres"), "-p", s.ports["postgres"],
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
		command.Dir, command.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.as}
	case "temporal":
		server := absolute(s.t, filepath.Join(root, "bin", "temporal-server"))
		command = exec.Command(server, "--root", filepath.Join(s.dir, "server"), "--env", "docker", "start")
		command.Env = s.serverEnvironment("temporal")
	case "worker":
		command = exec.Command(s.worker, "run")
		state := filepath.Join(s.dir, "state")
		if err := os.MkdirAll(state, 0o755); err != nil {
			s.t.Fatal(err)
		}
		command.Dir, command.Env = root, append(s.clientEnvironment("worker"), "TMPDIR="+state)
	}
	file, err := os.OpenFile(s.logFile(service), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	command.Stdout, command.Stderr = file, file
	if err := command.Start(); err != nil {
		s.t.Fatalf("%s: %v", service, err)
	}
	p := &process{Cmd: command, ended: make(chan struct{})}
	go func() {
		_ = command.Wait()
		close(p.ended)
	}()
	s.services[service] = p
}

// until waits for a condition. Meanwhile it restarts services that end, as docker does.
func (s *stack) until(what string, done func() bool) {
	s.t.Helper()
	for began := time.Now(); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			s.t.Fatalf("not within two minutes: %s\npostgres:\n%s\ntemporal:\n%s\nworker:\n%s", what, s.said("postgres"), s.said("temporal"), s.said("worker"))
		}
		for name, p := range maps.Clone(s.services) {
			select {
			case <-p.ended:
				time.Sleep(100 * time.Millisecond) // docker's first delay
				s.start(name)
			default:
			}
		}
	}
}

// databaseAnswers is the health check of the compose file: an open port is not enough.
func (s *stack) databaseAnswers() bool {
	return exec.Command(filepath.Join(s.postgres, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", s.ports["postgres"]).Run() == nil
}

// connect connects to the namespace that the job creates.
func (s *stack) connect() {
	s.t.Helper()
	options := client.Options{HostPort: s.address(), Namespace: s.compose.environment(s.t, "worker", s.dotEnv)["TEMPORAL_NAMESPACE"],
		Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	s.until("a client connects", func() bool {
		c, err := client.DialContext(s.t.Context(), options)
		s.client = c
		return err == nil
	})
	s.t.Cleanup(s.client.Close)
}

// kill kills everything at once. Each of PostgreSQL's processes is in a group of its own.
func (s *stack) kill() {
	var pids []int
	for _, p := range s.services {
		select {
		case <-p.ended:
		default:
			pids = append(pids, append(children(p.Process.Pid), p.Process.Pid)...)
		}
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, p := range s.services {
		<-p.ended
	}
}

func children(parent int) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		text, _ := os.ReadFile(path)
		_, after, _ := strings.Cut(string(text), ") ") // the name before it may hold anything
		if fields := strings.Fields(after); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *stack) logFile(service string) string { return filepath.Join(s.dir, service+".log") }

func (s *stack) said(service string) string {
	text, _ := os.ReadFile(s.logFile(service))
	return string(text)
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
