package quadruple

import (
	"strings"
	"testing"
)

const form = "<think-task>t</think-task><think-safety>decision: DENY\nwhy</think-safety><think-policy>p</think-policy><final>f</final>"

func TestParse(t *testing.T) {
	if q, ok := Parse(form); !ok || q != (Quadruple{"t", "decision: DENY\nwhy", "p", "f", "DENY"}) {
		t.Errorf("%+v, %t", q, ok)
	}
	replace := func(old, new string) string { return strings.Replace(form, old, new, 1) }
	for _, good := range []string{
		" \n" + form + "\n",
		replace("</think-task>", "</think-task>\n\n"),
		replace("decision: DENY\nwhy", "decision: REFUSE"),
		replace("DENY\n", "DENY \r\n"),
		replace(">t<", "><"),
		replace(">f<", ">f <b> 1 < 2\n<"),
	} {
		if _, ok := Parse(good); !ok {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{
		"", "f", form + form, form + "x", "x" + form,
		replace("</final>", ""),
		replace("<think-policy>p</think-policy>", ""),
		replace("<think-task>t</think-task>", "") + "<think-task>t</think-task>",
		replace(">t<", "><think-task><"),
		replace(">f<", "><think-safety>decision: DENY</think-safety>f<"),
		replace(">f<", "> \n<"),
		replace("decision: DENY\n", ""),
		replace("decision: ", "decision:"),
		replace("decision: ", "\ndecision: "),
		replace("DENY", "deny"),
		replace("DENY", "DENY!"),
		replace("DENY", "DENY ALLOW"),
		replace("think-task", "Think-task"),
	} {
		if q, ok := Parse(bad); ok {
			t.Errorf("%q is taken as %+v", bad, q)
		}
	}
}

func TestString(t *testing.T) {
	q, _ := Parse(form)
	if got := q.String(); got != form {
		t.Errorf("%q", got)
	}
	undecided, ok := Split(strings.Replace(form, "decision: DENY\n", "", 1))
	if decided, was := undecided.Decided("DENY"); !ok || !was || decided != q {
		t.Errorf("%+v", decided)
	}
	if again, was := q.Decided("ALLOW"); was || again != q {
		t.Errorf("decided again: %+v", again)
	}
}
