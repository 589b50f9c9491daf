package record

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"so8t/fuzzguard"
	"so8t/quadruple"
)

// FuzzParse: whatever the row, a record or a reason answers. What is accepted is whole, and is the same again once it is
// written as the fields that it was read into.
func FuzzParse(f *testing.F) {
	for _, row := range []string{
		`{"instruction":"i","input":"","output":"o","four_class_label":"DENY","nsfw":false,"extra":[{"a":1}]}`,
		`{"instruction":"\u3042\n","input":"x","output":"\"","four_class_label":"ａllow ","system":null,"history":[["a","b"]]}`,
		`{"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"u"}]},` +
			`{"role":"assistant","content":"a","x":1}],"four_class_label":1}`,
		`{"conversations":[{"from":"human","value":"u"},{"from":"gpt","value":"a"}],"q":{"label":"DENY","r":{"s":1}}}`,
		`{"prompt":[{"role":"user","content":"u"}],"completion":[{"role":"assistant","content":"a"}],"four_class_label":"REFUSE"}`,
		`{"question":"q","answer":"a","q.label":"DENY"}`, `{"instruction":1}`, `{"a":1,"a":2}`,
		`[{"a":{"b":[[]]}}]`, ` `, `{"input":"\ud800"}`, `{"q":{"q":{"label":0}}}`,
	} {
		f.Add([]byte(row), true)
		f.Add([]byte(row), false)
	}
	mapped := reader(f, Options{FourClass: true, Columns: map[string]string{"four_class_label": "q.label"}, Labels: map[string]string{"1": "ALLOW"}})
	plain := reader(f, Options{UnknownColumns: "refuse"})
	f.Fuzz(func(t *testing.T, row []byte, columns bool) {
		r := plain
		if columns {
			r = mapped
		}
		var rec Record
		var reason Reason
		var detail string
		var seen Seen
		fuzzguard.Call(t, len(row), fuzzguard.Bound{PerByte: 256, Fixed: 1 << 16}, func() { rec, reason, detail = r.Parse(row, &seen) })
		if reason != "" {
			if !utf8.ValidString(detail) || len(detail) > 400 || strings.ContainsAny(detail, "\n\r") || !reflect.DeepEqual(rec, Record{}) {
				t.Fatalf("%s: detail %q", reason, detail)
			}
			return
		}
		if strings.TrimSpace(rec.Instruction) == "" || strings.TrimSpace(rec.Output) == "" ||
			!utf8.ValidString(rec.Instruction+rec.Output+rec.Input+rec.System) ||
			rec.FourClassLabel != "" && !quadruple.IsLabel(rec.FourClassLabel) || columns && rec.FourClassLabel == "" || !json.Valid(row) {
			t.Fatalf("accepted %+v", rec)
		}
		written, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		again, reason, detail := reader(t, Options{}).Parse(written, nil)
		if again.Earlier = rec.Earlier; reason != "" || !reflect.DeepEqual(again, rec) {
			t.Fatalf("written again: %s %s, %+v, was %+v", reason, detail, again, rec)
		}
	})
}
