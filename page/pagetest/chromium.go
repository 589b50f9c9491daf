package pagetest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// Browser is a tab of a headless Chromium, driven by the Chrome DevTools Protocol. Its methods fail the test, and are for
// the test's goroutine.
type Browser struct {
	t    testing.TB
	ws   *websocket.Conn
	last int // id of the last command
}

// patience bounds every command and every Until.
const patience = 30 * time.Second

// Chromium starts a browser with a profile of its own and further flags, and skips the test where there is none. It ends
// with the test.
func Chromium(t testing.TB, flags ...string) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	profile, err := os.MkdirTemp("", "so8t-chromium-*") // t.TempDir's removal would race with the browser's last writes
	if err != nil {
		t.Fatal(err)
	}
	flags = append([]string{"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--window-size=1400,1000", "--remote-debugging-port=0",
		"--remote-allow-origins=*", // the websocket's handshake always names one
		"--user-data-dir=" + profile}, flags...)
	command := exec.Command(path, append(flags, "about:blank")...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait()
		for range 20 {
			if os.RemoveAll(profile) == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	b := &Browser{t: t}
	b.connect(filepath.Join(profile, "DevToolsActivePort"))
	b.call("Page.enable", nil, nil)
	return b
}

// connect takes the tab that the browser opened, once the browser has written its port to the file.
func (b *Browser) connect(file string) {
	b.t.Helper()
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var text []byte
		if text, last = os.ReadFile(file); last != nil {
			continue
		}
		port, _, _ := strings.Cut(string(text), "\n")
		var tabs []struct {
			Type   string `json:"type"`
			Socket string `json:"webSocketDebuggerUrl"`
		}
		if last = getJSON("http://127.0.0.1:"+port+"/json/list", &tabs); last != nil {
			continue
		}
		for _, tab := range tabs {
			if tab.Type != "page" {
				continue
			}
			if b.ws, last = websocket.Dial(tab.Socket, "", "http://127.0.0.1"); last != nil {
				b.t.Fatal(last)
			}
			b.ws.MaxPayloadBytes = 64 << 20 // a screenshot is one message
			b.t.Cleanup(func() { _ = b.ws.Close() })
			return
		}
	}
	b.t.Fatalf("chromium does not answer: %v", last)
}

func getJSON(url string, value any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return json.NewDecoder(answer.Body).Decode(value)
}

// call sends a command and waits for its result; events that arrive meanwhile are dropped.
func (b *Browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.last++
	if err := b.ws.SetDeadline(time.Now().Add(patience)); err != nil {
		b.t.Fatal(err)
	}
	if err := websocket.JSON.Send(b.ws, map[string]any{"id": b.last, "method": method, "params": params}); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		var answer struct {
			ID     int             `json:"id"`
			Result json.RawMessage `json:"result"`
			Error  *struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if err := websocket.JSON.Receive(b.ws, &answer); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		switch {
		case answer.ID != b.last:
			continue
		case answer.Error != nil:
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		case result != nil:
			if err := json.Unmarshal(answer.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

// Open shows a page and waits until it has loaded.
func (b *Browser) Open(url string) {
	b.t.Helper()
	var at struct {
		Error string `json:"errorText"`
	}
	b.call("Page.navigate", map[string]any{"url": url}, &at)
	if at.Error != "" {
		b.t.Fatalf("open %s: %s", url, at.Error)
	}
	b.Until(`document.readyState === "complete"`)
}

// Eval evaluates an expression in the page, waits for it where it is a promise, and stores its value in result unless that
// is nil.
func (b *Browser) Eval(expression string, result any) {
	b.t.Helper()
	var got struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &got)
	if got.Exception != nil {
		b.t.Fatalf("%s: %s %s", expression, got.Exception.Text, got.Exception.Exception.Description)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(got.Result.Value, result); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

// Until waits until an expression is true.
func (b *Browser) Until(expression string) {
	b.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var holds bool
		b.Eval("!!("+expression+")", &holds)
		if holds {
			return
		}
		if time.Now().After(end) {
			var text string
			b.Eval("document.body.innerText", &text)
			b.t.Fatalf("never true: %s\nthe page:\n%.2000s", expression, text)
		}
	}
}

// Click clicks with the mouse on the middle of the first element that the selector finds.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	b.ClickOn(fmt.Sprintf("document.querySelector(%q)", selector))
}

// ClickOn clicks on the element that an expression gives, once there is one and it has stopped moving.
func (b *Browser) ClickOn(element string) {
	b.t.Helper()
	b.Until(element)
	type point struct{ X, Y float64 }
	var at, before point
	for moving := true; moving; moving = at != before {
		before = at
		b.Eval(`(async e => { e.scrollIntoView({block: "center"}); await new Promise(done => setTimeout(done, 100));
			const r = e.getBoundingClientRect(); return {X: r.x + r.width / 2, Y: r.y + r.height / 2}; })(`+element+`)`, &at)
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// Type enters text where the focus is.
func (b *Browser) Type(text string) {
	b.t.Helper()
	b.call("Input.insertText", map[string]any{"text": text}, nil)
}

// Screen sets the width of the window in CSS pixels and the colour scheme, light or dark. Below 500 pixels it is a phone's.
func (b *Browser) Screen(width int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride",
		map[string]any{"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": width < 500}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// IgnorePolicies has the pages that are opened from now on do what their Content-Security-Policy forbids.
func (b *Browser) IgnorePolicies() {
	b.t.Helper()
	b.call("Page.setBypassCSP", map[string]any{"enabled": true}, nil)
}

// Screenshot writes what the tab shows to a PNG file.
func (b *Browser) Screenshot(path string) {
	b.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(path, png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// Keep leaves a screenshot for people, NAME.png in the folder that SO8T_SCREENSHOTS names, if it names one.
func (b *Browser) Keep(name string) {
	b.t.Helper()
	if folder := os.Getenv("SO8T_SCREENSHOTS"); folder != "" {
		b.Screenshot(filepath.Join(folder, name+".png"))
	}
}
