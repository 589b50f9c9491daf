package pagetest

import (
	"bytes"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// A click and typed text reach the page as a person's would, and Eval waits for promises.
func TestBrowser(t *testing.T) {
	b := Chromium(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!doctype html><meta charset=utf-8><input>
			<button onclick="this.textContent = document.querySelector('input').value">go</button>`))
	}))
	defer server.Close()
	b.Open(server.URL)
	b.Click("input")
	b.Type("富士山 <b>")
	b.Click("button")
	var got string
	b.Eval(`new Promise(done => setTimeout(() => done(document.querySelector("button").textContent), 10))`, &got)
	if got != "富士山 <b>" {
		t.Errorf("the button shows %q", got)
	}
	path := filepath.Join(t.TempDir(), "shot.png")
	b.Screenshot(path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if shot, err := png.Decode(bytes.NewReader(text)); err != nil || shot.Bounds().Dx() != 1400 {
		t.Errorf("screenshot: %v, %v", shot.Bounds(), err)
	}
}
