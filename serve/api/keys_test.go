package api

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"so8t/serve/escalation"
)

func TestKeysAreAskedFor(t *testing.T) {
	change, secrets := withKeys(t, "team-a", "team-b")
	f := &fake{}
	h := open(t, f, change)
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer " + secrets[0] + "x", "Basic " + secrets[0], secrets[0]} {
		r := h.think(t, "q", "Authorization", authorization)
		if r.StatusCode != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") == "" || r.fault(t).Type != authentication {
			t.Errorf("%q: %d %s", authorization, r.StatusCode, r.body)
		}
	}
	for _, path := range []string{"/v1/models", "/v1/models/so8t", "/v1/escalations/x"} {
		if r := h.do(t, "GET", path, ""); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
	for _, path := range []string{"/", "/page.js", "/page.css", "/healthz", "/readyz"} {
		if r := h.do(t, "GET", path, ""); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
	if r := h.think(t, "q", "Authorization", "bearer "+secrets[1]); r.StatusCode != http.StatusOK || f.last().Key != "team-b" {
		t.Errorf("%d, key %q", r.StatusCode, f.last().Key)
	}
	if log := h.log.String(); strings.Contains(log, secrets[0]) || strings.Contains(log, secrets[1]) || !strings.Contains(log, "key=team-b") {
		t.Error(log)
	}
}

func TestFileOfKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, line, err := GenerateKey("team-a")
	if err != nil {
		t.Fatal(err)
	}
	second, otherLine, _ := GenerateKey("team-a") // the next key of the same team
	third, thirdLine, _ := GenerateKey("team.b_2")
	write("# keys\n\n  " + line + " share=none # until May\n" + otherLine + " share=none\r\n" + thirdLine + " share=query\n")
	keys, err := LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	known := func(secret string, want Key) {
		t.Helper()
		if k, ok := keys.find(secret); !ok || k != want {
			t.Errorf("%+v %v, want %+v", k, ok, want)
		}
	}
	known(first, Key{"team-a", escalation.ShareNone})
	known(second, Key{"team-a", escalation.ShareNone})
	known(third, Key{"team.b_2", escalation.ShareQuery})
	if keys.Share("team-a") != escalation.ShareNone || keys.Share("team.b_2") != escalation.ShareQuery || keys.Share("nobody") != "" {
		t.Error("shares")
	}

	hexes := strings.Repeat("0a", 32)
	for text, fault := range map[string]string{
		line + "\nteam-c\n":                      "line 2: the digest is missing",
		"a/b " + hexes:                           "line 1: the name must be",
		"a " + hexes + "0":                       "line 1: the digest must be 64 hex digits",
		"a " + first:                             "line 1: the digest must be 64 hex digits",
		"a " + hexes + " share=all":              "line 1: the third word",
		"a " + hexes + " share=none x":           "line 1: want NAME",
		"a " + hexes + "\nb " + hexes:            "line 2: the digest stands in an earlier line",
		line + "\n" + otherLine + " share=query": "line 2: the name stands in an earlier line",
		"# nothing\n":                            "no key",
	} {
		write(text)
		if err := keys.Reload(path); err == nil || !strings.Contains(err.Error(), fault) || strings.Contains(fmt.Sprint(err), first) {
			t.Errorf("%q: %v, want %s", text, err, fault)
		}
	}
	if err := keys.Reload(path + ".none"); err == nil {
		t.Error("a missing file is taken")
	}
	known(first, Key{"team-a", escalation.ShareNone}) // faults leave the keys as they were
	write(thirdLine)
	if err := keys.Reload(path); err != nil {
		t.Fatal(err)
	}
	if _, ok := keys.find(first); ok {
		t.Error("a key that is gone is taken")
	}
	known(third, Key{"team.b_2", ""})
	if _, _, err := GenerateKey("no name"); err == nil {
		t.Error("a name with a space is taken")
	}
}
