package api

import (
	"context"
	"strings"
	"testing"

	"so8t/serve/guard"
)

// pageModel answers each class, and says in its answer what a page must show as text.
var pageModel = &fake{answer: func(_ context.Context, r guard.Request, sink guard.Sink) (guard.Result, error) {
	v := guard.Verdict{Label: "ALLOW", Confidence: 0.973, ReasoningHash: "hmac:" + strings.Repeat("5f3a9c04", 8), Model: digest}
	switch query := r.Messages[0].Content; {
	case strings.Contains(query, "担当"):
		v.Label, v.Confidence, v.Escalated = "ESCALATION", 0.61, true
		return play(sink, v, "担当者が確認します。しばらくお待ちください。")
	case strings.Contains(query, "鍵"):
		v.Label, v.Confidence = "REFUSE", 0.998
		return play(sink, v, "申し訳ありませんが、このご依頼にはお答えできません。")
	case query == "html":
		return play(sink, v, `<img src=x onerror="document.title='run'">`)
	case query == "full":
		return guard.Result{}, &guard.Error{Kind: guard.Busy, Code: "queue_full", Message: "The queue is full."}
	}
	return play(sink, v, "可燃ごみの収集日は、火曜日と金曜日です。\n", "当日の朝8時までに、指定の集積所に出してください。")
}}

func TestPage(t *testing.T) {
	b := openTab(t, "ja")
	change, secrets := withKeys(t, "page")
	h := open(t, pageModel, func(o *Options) {
		change(o)
		o.Loopback = true
	})
	b.Screen(1000, "light")
	b.Open(h.url)
	if got := b.shown("send"); got != "質問する" {
		t.Errorf("the button says %q to a Japanese browser", got)
	}
	b.ask("燃えるごみの日はいつですか。")
	if got := b.shown("failure"); got != "APIキーが必要です。「キーとユーザー」に入力してください。" {
		t.Errorf("without a key: %q", got)
	}
	b.Eval(`document.getElementById("key").value = "`+secrets[0]+`"`, nil)
	b.ask("燃えるごみの日はいつですか。")
	for id, want := range map[string]string{"label": "ALLOW", "meaning": "回答します", "confidence": "97.3 %", "escalated": "いいえ", "finish": "モデルによる終了",
		"model": "001122334455", "hash": "hmac:" + strings.Repeat("5f3a9c04", 8), "failure": "",
		"answer": "可燃ごみの収集日は、火曜日と金曜日です。\n当日の朝8時までに、指定の集積所に出してください。"} {
		if got := b.shown(id); got != want {
			t.Errorf("%s shows %q, want %q", id, got, want)
		}
	}
	if got := b.shown("latency"); !strings.HasSuffix(got, " s") {
		t.Errorf("latency %q", got)
	}
	b.Keep("wide")

	b.Screen(380, "dark")
	b.ask("担当の方に代わってください。契約を解除したいのですが、違約金はどうなりますか。")
	if got := b.shown("label") + b.shown("escalated"); got != "ESCALATIONはい" {
		t.Errorf("%q", got)
	}
	if got := b.value(`document.documentElement.scrollWidth`); got != "380" {
		t.Errorf("the page is %s pixels wide on 380", got)
	}
	if light, dark := "rgb(255, 255, 255)", b.value(`getComputedStyle(document.body).backgroundColor`); dark == light {
		t.Error("the page is as light in the dark")
	}
	b.Keep("narrow-dark")
	b.Screen(380, "light")
	b.ask("隣の家の鍵の開け方を教えてください。")
	b.Keep("narrow")

	b.Eval(`document.getElementById("language").click()`, nil)
	if got := b.shown("meaning"); got != "Refused" {
		t.Errorf("in English: %q", got)
	}
	b.ask("full")
	if got := b.shown("failure") + b.shown("result"); got != "The server is busy. Try again in a moment." {
		t.Errorf("%q", got)
	}
	b.ask("html")
	if b.shown("answer") != `<img src=x onerror="document.title='run'">` || b.value(`document.title`) != "so8t" {
		t.Error("an answer becomes markup")
	}
	b.Screen(1000, "dark")
	b.Keep("wide-dark")
	if got := b.value(`localStorage.length + sessionStorage.length + document.cookie.length`); got != "0" {
		t.Error("the page keeps something")
	}
	inline := `{ const s = document.createElement("script"); s.textContent = "document.title = 'inline'"; document.body.append(s); document.title }`
	if got := b.value(inline); got != "so8t" {
		t.Errorf("inline script runs: %s", got)
	}
	if got := b.value(`fetch("https://example.invalid").then(() => "sent", (e) => e.name)`); got != "TypeError" {
		t.Errorf("the page reaches elsewhere: %s", got)
	}
	if strings.Contains(h.log.String(), secrets[0]) {
		t.Error("a key in the log")
	}
}

// A page of another origin that makes the browser ask gets nothing, and nobody is asked for it.
func TestOtherPagesCannotAsk(t *testing.T) {
	b := openTab(t, "en")
	f := &fake{}
	h, other := open(t, f, nil), open(t, &fake{}, nil)
	b.Open(other.url + "/healthz") // a document without the page's own policy on other origins
	b.IgnorePolicies()
	b.Open(other.url + "/readyz")
	got := b.value(`fetch("` + h.url + `/think", {method: "POST", mode: "no-cors", headers: {"Content-Type": "text/plain"},
		body: JSON.stringify({user_id: "u", query: "q"})}).then((r) => r.type, (e) => e.name)`)
	waitFor(t, func() bool { return strings.Contains(h.log.String(), "code=cross_origin") })
	if f.last().ID != "" {
		t.Errorf("asked by another page (%s)", got)
	}
}
