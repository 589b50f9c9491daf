package quadruple

import (
	"strings"
	"testing"
)

const goodAnswer = "<think-task>製品カタログは公開情報、行為は更新。</think-task><think-safety>decision: ESCALATION\n公開情報の更新は担当者の判断が要る。</think-safety>" +
	"<think-policy>責任者に確認してから進める。</think-policy><final>確認が必要なため、担当者に引き継ぎます。</final>"

func TestLeaked(t *testing.T) {
	thinking, _, _ := strings.Cut(goodAnswer, "<final>")
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"a clean answer", goodAnswer, false},
		{"no final", thinking, false},
		{"a tag", thinking + "<final>はい<think-policy></final>", true},
		{"a closing tag", thinking + "<final>はい</think-safety></final>", true},
		{"a decision line", thinking + "<final>はい\ndecision: ALLOW</final>", true},
		{"the word decision", thinking + "<final>Your decision: take the ALLOWANCE.</final>", false},
		{"a line of thinking, word for word", thinking + "<final>なお、公開情報の更新は担当者の判断が要る。</final>", true},
		{"a few of its words", thinking + "<final>公開情報の更新は、できます。</final>", false},
		{"the task restated", thinking + "<final>製品カタログは公開情報、行為は更新。</final>", false},
		{"an unclosed final", thinking + "<final>はい<think-task>", true},
		{"a second final, of which nothing leaves", thinking + "<final>はい</final><final>いいえ</final>", false},
		{"a look-alike", thinking + "<final>はい＜ｔｈｉｎｋ", true},
		{"a malformed answer, of which nothing leaves", "では。" + thinking + "<final>はい<think-task></final>", false},
		{"after the final", thinking + "<final>はい</final><think-task>", false},
	} {
		if got := Leaked(c.text); got != c.want {
			t.Errorf("%s: leaked = %v", c.name, got)
		}
	}
}
