package quadruple

import "testing"

func TestWritten(t *testing.T) {
	for text, want := range map[string]string{
		form:                                       "DENY",
		"<think-safety>\ndecision:ALLOW\n":         "ALLOW",
		"x<think-safety>decision: REFUSE":          "REFUSE",
		"<think-safety>decision: REFUSE</x":        "REFUSE",
		"<think-safety>why\ndecision: REFUSE":      "",
		"<think-safety>decision: DENYING":          "",
		"decision: DENY":                           "",
		form[len("<think-task>"):len(form)-1] + "": "DENY",
	} {
		if got := Written(text); got != want {
			t.Errorf("%q decides %q, want %q", text, got, want)
		}
	}
}

func TestCutDecision(t *testing.T) {
	for _, c := range []struct {
		text, lead, tail string
		ok               bool
	}{
		{"<think-safety>decision: DENY</think-safety>", "<think-safety>decision:", "</think-safety>", true},
		{"\n<think-safety>\n decision: DENY\nx", "\n<think-safety>\n decision:", "\nx", true},
		{"<think-safety>decision: MAYBE\n", "<think-safety>decision:", "", true},
		{"<think-safety>decision: DENY", "<think-safety>decision:", "", true},
		{"<final>", "", "", false},
	} {
		if lead, tail, ok := CutDecision(c.text); lead != c.lead || tail != c.tail || ok != c.ok {
			t.Errorf("%q: %q, %q, %t", c.text, lead, tail, ok)
		}
	}
	if element, rest, ok := Task("a<think-task>b</think-task>c</think-task>"); element != "<think-task>b</think-task>" || rest != "c</think-task>" || !ok {
		t.Errorf("%q, %q, %t", element, rest, ok)
	}
	if _, _, ok := Task("<think-task>b"); ok {
		t.Error("a think-task that is not closed was found")
	}
}
