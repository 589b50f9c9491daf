package policy

import (
	"strings"
	"testing"
)

// TestLook: a text that the look passes over is one in which the rules find nothing.
func TestLook(t *testing.T) {
	texts := []string{"", "〇三―一二三四―五六七八", "港区麻布一の二の三", "ＣＯＮＦＩＤＥＮＴＩＡＬ", "C O N F I D E N T I A L", "C    o    n    fidential", "t\u00a0o\u3000p secret",
		"Internal\u3000use only", "CompanyConfidential", "【持ち出し 禁止】", "取扱 注意", "ﾏﾙ秘", "連絡は info＠example.jp",
		"cＯnfidential", "\xe7\xa7持\xff禁", "\xe312\xe30", "international", "制限二",
		"第三者は市に注文", "conf", "i n t e r n a l"}
	for _, path := range []string{"testdata/cases/pii.jsonl", "testdata/cases/confidential.jsonl"} {
		for _, c := range readSet[personalCase](t, path) {
			texts = append(texts, c.Text)
			texts = append(texts, strings.FieldsFunc(c.Text, func(r rune) bool { return strings.ContainsRune("。\n,、 ", r) })...)
		}
	}
	passed := 0
	for _, text := range texts {
		if holdsLook(t, text) {
			passed++
		}
	}
	if passed < len(texts)/4 {
		t.Fatalf("%d of %d texts are passed over: the look saves nothing", passed, len(texts))
	}
}

// holdsLook tells whether the look passed a text over, and checks that it was right to.
func holdsLook(t *testing.T, text string) (passed bool) {
	t.Helper()
	seen := look(text)
	if !seen.personal() && strings.ContainsAny(text, "0123456789@＠０１２３４５６７８９〇零○一二三四五六七八九") { // 十番地 alone is not looked for
		if all := readPersonal(text); len(all) > 0 {
			t.Errorf("%q: passed over, and holds %v", text, all)
		}
	}
	if !seen.confidential() {
		if start, end, marked := readMarkers(text); marked {
			t.Errorf("%q: passed over, and holds the marker %q", text, text[start:end])
		}
	}
	return !seen.personal() || !seen.confidential()
}
