package deploy

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"so8t/configs"
)

// The service that answers can read a model and keys and write its log, and nothing else.
func TestThinkIsConfined(t *testing.T) {
	c := readCompose(t)
	s, worker := c.service(t, "think"), c.service(t, "worker")
	if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("read_only %v, cap_drop %v, security_opt %v", s.ReadOnly, s.CapDrop, s.SecurityOpt)
	}
	user, _, _ := strings.Cut(interpolate(t, s.User, nil), ":")
	if other, _, _ := strings.Cut(interpolate(t, worker.User, nil), ":"); user == other || user == "0" || user == "" {
		t.Errorf("runs as %q, the worker as %q", s.User, worker.User)
	}
	if !slices.Equal(s.Profiles, []string{"think"}) {
		t.Errorf("profiles %v: without a model it would fail again and again", s.Profiles)
	}
	if !slices.Equal(s.Ports, []string{"127.0.0.1:8088:8088"}) {
		t.Errorf("published: %v", s.Ports)
	}
	writable := []string{}
	for _, m := range s.mounts(t) {
		if m.Type == "volume" {
			writable = append(writable, m.Target)
		} else if !m.ReadOnly || m.Bind.CreateHostPath == nil || *m.Bind.CreateHostPath {
			t.Errorf("%+v is not mounted read-only as it is", m)
		}
	}
	if !slices.Equal(writable, []string{"/so8t/audit", "/so8t/secrets"}) {
		t.Errorf("writable: %v", writable)
	}
	made := regexp.MustCompile(`install -d .* -m 1777 (.*)\n`).FindStringSubmatch(readText(t, "Dockerfile"))
	for _, folder := range []string{"audit", "secrets"} {
		if made == nil || !slices.Contains(strings.Fields(made[1]), folder) {
			t.Errorf("the image has no folder %s that every user can write: its volume would be root's", folder)
		}
	}
}

// serving is the configuration that the service's command gives.
func serving(t *testing.T, command []string) *configs.Serving {
	t.Helper()
	if len(command) == 0 || command[0] != "serve" {
		t.Fatalf("the command is %v", command)
	}
	file, set := "", map[string]any{}
	for _, argument := range command[1:] {
		flag, value, _ := strings.Cut(interpolate(t, argument, nil), "=")
		switch flag {
		case "--config":
			file = filepath.Join(root, value)
		case "--model", "--address":
			set["serve."+strings.TrimPrefix(flag, "--")] = value
		case "--set":
			key, parsed, err := configs.ParseSet(value)
			if err != nil {
				t.Fatal(err)
			}
			set[key] = parsed
		default:
			t.Errorf("unknown flag %s", flag)
		}
	}
	s, err := configs.LoadServing(file, set)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestThinkIsConfigured(t *testing.T) {
	s := readCompose(t).service(t, "think")
	config := serving(t, s.Command)
	for what, path := range map[string]string{"model": config.Serve.Model, "keys": config.Serve.KeysFile, "log": config.Audit.Dir,
		"log's keys": config.Audit.KeysDir, "outbox": config.Serve.Escalation.Outbox} {
		folder, _, _ := strings.Cut(path, "/")
		s.mountAt(t, "/so8t/"+folder)
		if filepath.IsAbs(path) {
			t.Errorf("%s: %s is no path of the image's working directory", what, path)
		}
	}
	if log, keys := strings.Split(config.Audit.Dir, "/")[0], strings.Split(config.Audit.KeysDir, "/")[0]; log == keys {
		t.Errorf("the log and its keys share a volume, %s", log)
	}
	if _, port, _ := strings.Cut(config.Serve.Address, ":"); !strings.HasSuffix(s.Ports[0], ":"+port) {
		t.Errorf("listens at %s, %s is published", config.Serve.Address, s.Ports[0])
	}
	drain := time.Duration(config.Serve.DrainSeconds) * time.Second
	if grace, err := time.ParseDuration(s.StopGrace); err != nil || grace < drain+10*time.Second {
		t.Errorf("killed after %s, although answers have %v", s.StopGrace, drain)
	}
}

// The health check asks for readiness, not for an open port.
func TestThinkHealthCheck(t *testing.T) {
	check := readCompose(t).service(t, "think").HealthCheck.Test
	if len(check) != 4 || check[0] != "CMD" {
		t.Fatalf("%q", check)
	}
	code := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asks for %s", r.URL.Path)
		}
		w.WriteHeader(code)
	}))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	script := strings.ReplaceAll(strings.ReplaceAll(check[3], "$$", "$"), "8088", port)
	for _, code = range []int{http.StatusOK, http.StatusServiceUnavailable} {
		if err := exec.Command(check[1], check[2], script).Run(); (err == nil) != (code == http.StatusOK) {
			t.Errorf("readyz says %d, the check %v", code, err)
		}
	}
	server.Close()
	if exec.Command(check[1], check[2], script).Run() == nil {
		t.Error("no server, and the check passes")
	}
}
