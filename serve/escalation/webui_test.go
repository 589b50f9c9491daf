package escalation

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"so8t/contract"
	"so8t/page/pagetest"
)

// A person finds the question in the Web UI and decides with its dialog, in clear or encrypted with a codec server. With
// SO8T_SCREENSHOTS, a folder, the test leaves there what the person saw.
func TestDecidedInTheWebUI(t *testing.T) {
	for name, codec := range map[string]*Codec{"in clear": nil, "encrypted": newCodec(t, keyOf(1))} {
		t.Run(name, func(t *testing.T) {
			b := pagetest.Chromium(t)
			address := freeAddress(t)
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			flags := []string{"--headless=false", "--ui-port", port}
			if codec != nil {
				decoder := httptest.NewServer(CodecServer(codec, "http://"+address))
				defer decoder.Close()
				flags = append(flags, "--ui-codec-endpoint", decoder.URL)
			}
			server := startServer(t, "", flags...)
			o := options(t.TempDir()).at(server.FrontendHostPort())
			o.Codec = codec
			d := newDesk(t, o)
			defer d.runFor(t)()
			id := d.mustEscalate(t, theCase("req_web"))
			d.until(t, id, Pending)
			awaitUI(t, fmt.Sprintf("http://%s/api/v1/namespaces/default/workflows/%s", address, id))

			const note = "担当者が確認した"
			w := webUI{b, name}
			b.Open(fmt.Sprintf("http://%s/namespaces/default/workflows/%s", address, id))
			w.readsPage()
			w.signals(`{"decision": "allow", "note": "` + note + `"}`)
			if s := d.until(t, id, Allowed); s.Note != note || s.By != contract.ByPerson {
				t.Errorf("%+v", s)
			}
			w.shot("decided")
			ledger(o.AuditDir).recorded(t, `"decision":"allow"`)
			all := history(t, server.Client(), id)
			if shown := holds(all, secret) || holds(all, note); shown == (codec != nil) {
				t.Errorf("the history holds the question or the note: %v", shown)
			}
		})
	}
}

// webUI is Temporal's page of one workflow.
type webUI struct {
	*pagetest.Browser
	name string
}

func (w webUI) shot(of string) { w.Keep(w.name + " " + of) }

// readsPage opens the tab with the page and waits until the question can be read.
func (w webUI) readsPage() {
	w.ClickOn(`document.querySelector("[data-testid=user-metadata-tab]")`)
	w.Until(`[...document.querySelectorAll("iframe")].some(f => f.contentDocument?.body?.innerText.includes("` + secret + `"))`)
	w.shot("question")
}

// signals sends the signal decide with the dialog.
func (w webUI) signals(input string) {
	const seen = `[...document.querySelectorAll("button, [role=menuitem], [role=option]")].find(e => e.checkVisibility({visibilityProperty: true}) && `
	w.ClickOn(seen + `e.textContent.trim() === "More Actions")`)
	w.ClickOn(seen + `e.textContent.trim() === "Send a Signal")`)
	w.ClickOn(`document.querySelector("dialog[open] [data-testid=signal-select-button]")`)
	w.ClickOn(seen + `e.role === "option" && e.closest("dialog[open]") && e.textContent.includes("decide"))`)
	w.Until(`document.querySelector("dialog[open] #signal-select").value.includes("decide")`)
	w.ClickOn(`document.querySelector("dialog[open] .cm-content")`)
	w.Until(`document.activeElement.closest("dialog[open] .cm-content")`)
	w.Type(input)
	w.Until(`document.querySelector("dialog[open] .cm-content").textContent.includes("decision")`)
	w.shot("dialog")
	w.ClickOn(`document.querySelector("dialog[open] [data-testid=confirm-modal-button]:not([disabled])")`)
	w.Until(`!document.querySelector("dialog[open]")`)
}

// awaitUI waits until the UI's server has reached the Temporal server, and knows the workflow.
func awaitUI(t *testing.T, url string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		answer, err := http.Get(url)
		if err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatalf("%s never answered", url)
}
