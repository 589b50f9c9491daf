package quadruple_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	. "so8t/quadruple"
	"so8t/quadruple/quadrupletest"
)

func FuzzFilter(f *testing.F) {
	f.Add(Quadruple{Task: "t", Safety: DecisionLine("DENY") + "\nwhy this is a longer line", Policy: "p", Final: " f\n"}.String(), uint64(1))
	f.Add("<think-task>x</think-task> <think-safety>decision: ALLOW</think-safety><think-policy>あいうえおあいうえおあいうえおあいうえお</think-policy><final>a < b\ndecision: D"+
		"ENY &lt;thi あいうえおあいうえおあ</fi</final>", uint64(2))
	f.Add("<final>\xe3\x81", uint64(3))
	f.Fuzz(holds)
}

// Texts made of what the form is made of come further than arbitrary ones.
func TestFilterOnFragments(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	form := []string{"<think-task>", "</think-task>", "<think-safety>", DecisionLine("DENY"), "</think-safety>", "<think-policy>", "</think-policy>",
		"<final>", "</final>"}
	parts := append([]string{" ", "\n", "<", "</", "final", "think", "&lt;", "/", ">", "decision:", "ALLOW", "x", "あ", "＜", "\u200b", "\xe3", "\x81",
		"この行は十六文字より長いので守られる", "この行は十六文字", "a guarded line of it", "a guarded line "}, form...)
	ends := map[End]int{}
	for range 3000 {
		text := ""
		for _, tag := range form {
			if r.IntN(60) > 0 && (tag != Final.Closing() || r.IntN(3) > 0) {
				text += tag
			}
			if tag == DecisionLine("DENY") {
				text += "\n"
			}
			for !strings.HasPrefix(tag, "</") && r.IntN(5) > 0 {
				text += parts[r.IntN(len(parts)-len(form)*min(1, r.IntN(40)))]
			}
		}
		holds(t, text, r.Uint64())
		_, end := Answer(text)
		ends[end]++
	}
	for _, end := range []End{Closed, Cut, Open, Malformed} {
		if ends[end] < 30 {
			t.Errorf("of 3000 texts %d end %s: %v", ends[end], end, ends)
		}
	}
}

// holds cuts a text in several ways: what leaves must be the same. No byte leaves before <final>, what has left is always
// the beginning of what stands behind it, trimmed, and nothing behind its end leaves. All of a well-formed answer leaves
// that ends by </final>. Nothing of a malformed one does.
func holds(t *testing.T, text string, seed uint64) {
	whole, end := read([]string{text})
	before, inside, opened := strings.Cut(text, Final.Opening())
	inside, _, _ = strings.Cut(inside, Final.Closing())
	inside = strings.TrimSpace(inside)
	for name, cut := range quadrupletest.Cuts(t, text, rand.New(rand.NewPCG(seed, 0))) {
		var f Filter
		written, visible := 0, ""
		for _, p := range cut {
			visible += f.Write(p)
			written += len(p)
			switch {
			case visible != "" && (!opened || written <= len(before)+len(Final.Opening())):
				t.Fatalf("%s: %q left before <final>", name, visible)
			case !strings.HasPrefix(inside, visible):
				t.Fatalf("%s: %q left, which does not begin %q", name, visible, inside)
			}
		}
		if visible += f.Close(); visible != whole || f.End() != end {
			t.Fatalf("%s: %q, %s; whole %q, %s", name, visible, f.End(), whole, end)
		}
	}
	q, ok := Parse(text)
	switch {
	case !strings.HasPrefix(inside, whole):
		t.Fatalf("%q left, which does not begin %q", whole, inside)
	case ok && end == Malformed, end == Malformed && whole != "", whole != strings.TrimSpace(whole):
		t.Fatalf("%q left, %s; well-formed %t", whole, end, ok)
	case ok && end == Closed && whole != strings.TrimSpace(q.Final):
		t.Fatalf("%q left of %q, %s", whole, q.Final, end)
	case strings.Contains(whole, "<think") || strings.Contains(whole, "<final") || strings.Contains(whole, "</final"):
		t.Fatalf("%q left", whole)
	}
}
