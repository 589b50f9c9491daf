package decision

import (
	"strings"
	"testing"
)

const goodAnswer = "<think-task>製品カタログは公開情報、行為は更新。</think-task><think-safety>decision: ESCALATION\n公開情報の更新は担当者の判断が要る。</think-safety>" +
	"<think-policy>責任者に確認してから進める。</think-policy><final>確認が必要なため、担当者に引き継ぎます。</final>"

func TestPlaceOf(t *testing.T) {
	_, tail, _ := strings.Cut(goodAnswer, "ESCALATION")
	broken := strings.Replace(goodAnswer, "</think-policy>", "", 1)
	for _, c := range []struct {
		name, text, context, tail string
		own                       bool
	}{
		{name: "well-formed", text: goodAnswer, own: true, tail: tail,
			context: "<think-task>製品カタログは公開情報、行為は更新。</think-task><think-safety>decision: "},
		{name: "a tag missing", text: broken, own: true, tail: strings.Replace(tail, "</think-policy>", "", 1),
			context: "<think-task>製品カタログは公開情報、行為は更新。</think-task><think-safety>decision: "},
		{name: "its own line breaks", text: "<think-task>\nx\n</think-task>\n<think-safety>\ndecision: DENY\n…", own: true, tail: "\n…",
			context: "<think-task>\nx\n</think-task>\n<think-safety>\ndecision: "},
		{name: "nothing but the label", text: "<think-task></think-task><think-safety>decision: DENY</think-safety><think-policy>", own: true,
			tail: "</think-safety><think-policy>", context: "<think-task></think-task><think-safety>decision: "},
		{name: "cut off behind the label", text: "<think-task></think-task><think-safety>decision: DENY", own: true,
			context: "<think-task></think-task><think-safety>decision: "},
		{name: "no safety section", text: "<think-task>x</think-task><final>はい</final>", own: true,
			context: "<think-task>x</think-task><think-safety>decision: "},
		{name: "a preface", text: "では。<think-task>x</think-task>", own: true, context: "<think-task>x</think-task><think-safety>decision: "},
		{name: "an unknown label", text: "<think-task>x</think-task><think-safety>decision: MAYBE\n", own: true,
			context: "<think-task>x</think-task><think-safety>decision: "},
		{name: "a label that goes on", text: "<think-task>x</think-task><think-safety>decision: DENYING\n", own: true,
			context: "<think-task>x</think-task><think-safety>decision: "},
		{name: "never closed", text: "<think-task>長い長い"},
		{name: "plain text", text: "東京は日本の首都です。"},
		{name: "nothing"},
	} {
		if c.own && c.tail == "" {
			c.tail = "\n"
		}
		if at, own := PlaceOf(c.text); own != c.own || at != (Place{c.context, c.tail}) {
			t.Errorf("%s: %+v, own %t", c.name, at, own)
		}
	}
}

func TestFallbackPlace(t *testing.T) {
	for text, want := range map[string]string{
		"<think-task>長い\uFFFD\uFFFD":       "<think-task>長い</think-task><think-safety>decision: ",
		"":                                 "<think-task></think-task><think-safety>decision: ",
		"<final>はい</final> <think-safety>": "<think-task>はい</think-task><think-safety>decision: ",
	} {
		if got := FallbackPlace(text); got != (Place{want, "\n"}) {
			t.Errorf("fallback of %q is %q, want %q", text, got, want)
		}
	}
}
