package decision

import (
	"reflect"
	"strings"
	"testing"

	"so8t/quadruple"
	"so8t/quadruple/quadrupletest"
	"so8t/tokenizer"
)

// Serving scores when think-safety is closed, evaluation when the answer is complete: the tokens are the same.
func TestSplitNeedsNoMoreThanThinkSafety(t *testing.T) {
	for name, dir := range map[string]string{"testdata": "../tokenizer/testdata/fallback", "demo": "../demo/base"} {
		tok, err := tokenizer.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		d, err := New(tok)
		if err != nil {
			t.Fatal(err)
		}
		outputs := []string{"<think-task>t</think-task><think-safety>decision: DENY</think-safety><think-policy>p</think-policy><final>f</final>"}
		for _, c := range quadrupletest.Cases(t) {
			if c.End != quadruple.Malformed {
				outputs = append(outputs, c.Output)
			}
		}
		for _, output := range outputs {
			closing := quadruple.ThinkSafety.Closing()
			before, _, _ := strings.Cut(output, closing)
			whole, own := PlaceOf(output)
			early, ownEarly := PlaceOf(before + closing)
			if !own || !ownEarly {
				t.Fatalf("%s: no think-task in %q", name, output)
			}
			want, err := d.Split(whole)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := d.Split(early); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %q is split as %v, early as %v, %v", name, output, want, got, err)
			}
		}
	}
}

// Errors may be logged while serving: they quote nothing.
func TestErrorsQuoteNothing(t *testing.T) {
	tok, err := tokenizer.Load("../demo/base")
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(tok)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Split(Place{Context: "秘密", Tail: ""}); err == nil || strings.Contains(err.Error(), "秘密") {
		t.Errorf("nothing closes the label: %v", err)
	}
}
