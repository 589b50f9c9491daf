package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// tab is a page of a headless Chromium, driven by the DevTools protocol.
type tab struct {
	t    testing.TB
	conn *websocket.Conn
	last int
}

// openTab starts a Chromium, and skips the test where there is none.
func openTab(t testing.TB, language string) *tab {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium")
	}
	profile := t.TempDir()
	command := exec.CommandContext(t.Context(), program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
		"--remote-allow-origins=http://127.0.0.1", "--user-data-dir="+profile, "--lang="+language, "--accept-lang="+language, "about:blank")
	command.Env = append(os.Environ(), "HOME="+profile)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	var port string
	waitFor(t, func() bool {
		text, _ := os.ReadFile(filepath.Join(profile, "DevToolsActivePort"))
		port, _, _ = strings.Cut(string(text), "\n")
		return port != ""
	})
	var targets []struct{ Type, WebSocketDebuggerURL string }
	waitFor(t, func() bool {
		r, err := http.Get("http://127.0.0.1:" + port + "/json/list")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return json.NewDecoder(r.Body).Decode(&targets) == nil && len(targets) > 0
	})
	conn, err := websocket.Dial(targets[0].WebSocketDebuggerURL, "", "http://127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	conn.MaxPayloadBytes = 64 << 20
	t.Cleanup(func() { conn.Close() })
	return &tab{t: t, conn: conn}
}

// call has the browser do something and returns what it answers.
func (b *tab) call(method string, parameters map[string]any) json.RawMessage {
	b.t.Helper()
	b.last++
	if err := websocket.JSON.Send(b.conn, map[string]any{"id": b.last, "method": method, "params": parameters}); err != nil {
		b.t.Fatal(err)
	}
	_ = b.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		var m struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := websocket.JSON.Receive(b.conn, &m); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		if m.ID != b.last {
			continue // an event
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		return m.Result
	}
}

// eval runs an expression in the page; its value, or what a promise of it comes to, is returned as text.
func (b *tab) eval(expression string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	result := b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true})
	if err := json.Unmarshal(result, &r); err != nil {
		b.t.Fatal(err)
	}
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(r.Result.Value)
}

func (b *tab) visit(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url})
	waitFor(b.t, func() bool { return b.eval(`location.href !== "about:blank" && document.readyState`) == "complete" })
}

// look sets the size of the window and the colour scheme.
func (b *tab) look(width int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": width < 500})
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
}

// picture keeps a screenshot where SO8T_SCREENSHOTS names a folder.
func (b *tab) picture(name string) {
	b.t.Helper()
	folder := os.Getenv("SO8T_SCREENSHOTS")
	if folder == "" {
		return
	}
	var shot struct{ Data string }
	if err := json.Unmarshal(b.call("Page.captureScreenshot", map[string]any{"format": "png"}), &shot); err != nil {
		b.t.Fatal(err)
	}
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
