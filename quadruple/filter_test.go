package quadruple_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	. "so8t/quadruple"
	"so8t/quadruple/quadrupletest"
)

// read gives the pieces to a Filter and joins what leaves.
func read(pieces []string) (visible string, end End) {
	var f Filter
	for _, p := range pieces {
		visible += f.Write(p)
	}
	visible += f.Close()
	return visible, f.End()
}

// The set's README says by which rules the answers were worked out, twice.
func TestCasesLeak(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range quadrupletest.Cases(t) {
		for name, cut := range quadrupletest.Cuts(t, c.Output, r) {
			if got, end := read(cut); got != c.Answer || end != c.End {
				t.Errorf("%s, %s: %q, %s; want %q, %s: %s", c.ID, name, got, end, c.Answer, c.End, c.Why)
			}
		}
		if got := Leaked(c.Output); got != (c.End == Cut) {
			t.Errorf("%s: leaked %t, ends %s", c.ID, got, c.End)
		}
	}
}

func TestFilter(t *testing.T) {
	const task, safety = " <think-task>t</think-task>\n<think-safety>decision: DENY\nwhy", "</think-safety><think-policy></think-policy>"
	var f Filter
	if f.Write(task); f.Decision() != "" || f.Opened() {
		t.Errorf("think-safety is open: decision %q, opened %t", f.Decision(), f.Opened())
	}
	if f.Write(safety); f.Decision() != "DENY" || f.Opened() {
		t.Errorf("think-safety is closed: decision %q, opened %t", f.Decision(), f.Opened())
	}
	if got := f.Write("<final> no \n"); got != "no" || !f.Opened() || string(f.Thinking()) != task+safety {
		t.Errorf("%q left, opened %t, thinking %q", got, f.Opened(), f.Thinking())
	}
	thinking := f.Thinking()
	if f.Forget(); len(f.Thinking()) > 0 || strings.Trim(string(thinking), "\x00") != "" {
		t.Errorf("after Forget %q is left", thinking)
	}
	if got := f.Write("way</final>more"); got != " \nway" || f.End() != Closed || f.Write("more") != "" || f.Close() != "" {
		t.Errorf("%q left, %s", got, f.End())
	}
	f = Filter{}
	if f.Write("hello <final>x"); string(f.Thinking()) != "hello " || f.End() != Malformed {
		t.Errorf("thinking %q, %s", f.Thinking(), f.End())
	}
}

// Text leaves as soon as it can become nothing else, and not before.
func TestFilterHoldsBack(t *testing.T) {
	const head = "<think-task></think-task><think-safety>decision: ALLOW\nthis is a guarded line</think-safety><think-policy></think-policy><final>"
	for _, c := range []struct{ name, text, want string }{
		{"plain text", "abc", "abc"},
		{"a tag that begins", "abc</fin", "abc"},
		{"a tag that is none", "a</fins", "a</fins"},
		{"half a character", "abc\xe3\x81", "abc"},
		{"white space", "abc \n", "abc"},
		{"white space that ends", "abc \ne", "abc \ne"},
		{"a line that begins with decision", "x\ndecision: ALL", "x"},
		{"a line that goes on otherwise", "x\ndecision: ALLO ", "x\ndecision: ALLO"},
		{"a label that goes on", "x\ndecision: ALLOWED", "x\ndecision: ALLOWED"},
		{"an echo that begins", "well, this is a guar", "well,"},
		{"an echo that ends", "well, this is a guarding", "well, this is a guarding"},
		{"an entity", "a &l", "a"},
		{"another entity", "a &le;", "a &le;"},
	} {
		var s Filter
		if got := s.Write(head + c.text); got != c.want {
			t.Errorf("%s: %q left, want %q", c.name, got, c.want)
		}
	}
}

func TestAnswer(t *testing.T) {
	const head = "<think-task></think-task><think-safety>decision: ALLOW\nthis is a guarded line of it</think-safety>" +
		"<think-policy>a guarded line of its own\n\x82 of a line that is half broken</think-policy><final>"
	for _, c := range []struct {
		name, text, want string
		end              End
	}{
		{"closed", "yes</final> and more", "yes", Closed},
		{"open", "yes", "yes", Open},
		{"blank", " \n</final>", "", Closed},
		{"closing tag without its last character", "yes</final", "yes", Cut},
		{"closing tag with a space", "yes</final >", "yes", Cut},
		{"two brackets", "yes<</final>", "yes<", Closed},
		{"a decision at the end", "yes\ndecision: DENY", "yes", Cut},
		{"a decision closed by the end", "yes\ndecision: DENY</final>", "yes", Cut},
		{"an echo within an echo that fails", "this is a guarded line, a guarded line of its own", "this is a guarded line,", Cut},
		{"the earlier of two", "this is a guarded line of it a guarded line of its own", "", Cut},
		{"an echo that begins inside a character", "yes あ of a line that is half broken", "yes", Cut},
		{"invalid bytes", "a\xffb</final>", "a\xffb", Closed},
		{"ligature", "x<ﬁnal>", "x", Cut},
	} {
		if got, end := Answer(head + c.text); got != c.want || end != c.end {
			t.Errorf("%s: %q, %s; want %q, %s", c.name, got, end, c.want, c.end)
		}
	}
	if got, end := Answer(strings.Replace(head, "ALLOW", "MAYBE", 1) + "yes</final>"); got != "" || end != Malformed {
		t.Errorf("no decision: %q, %s", got, end)
	}
}
