package api

import (
	"encoding/json"
	"fmt"
	"testing"

	"so8t/page/pagetest"
)

// tab is a browser that shows the page.
type tab struct{ *pagetest.Browser }

func openTab(t testing.TB, language string) tab {
	t.Helper()
	return tab{pagetest.Chromium(t, "--lang="+language, "--accept-lang="+language)}
}

// value is that of an expression in the page, as text.
func (b tab) value(expression string) string {
	var v any
	b.Eval(expression, &v)
	return fmt.Sprint(v)
}

// ask types a question into the page, sends it, and waits for what comes.
func (b tab) ask(query string) {
	text, _ := json.Marshal(query)
	b.Eval(fmt.Sprintf(`{ const q = document.getElementById("query"); q.value = %s; document.getElementById("send").click(); }`, text), nil)
	b.Until(`!document.getElementById("send").disabled`)
}

// shown is the text of an element as somebody sees it, empty if it is hidden.
func (b tab) shown(id string) string {
	return b.value(`{ const e = document.getElementById("` + id + `"); e.checkVisibility() ? e.innerText : "" }`)
}
