package contract

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"so8t/fuzzguard"
)

// FuzzParseInput: whatever the input, one line answers; what is accepted names a config, and says the same once it is written again.
func FuzzParseInput(f *testing.F) {
	for _, text := range []string{
		`{"config":"c.yaml"}`, `{"config":"c.yaml","set":{"training.seed":1,"so8t.layers":[0,1],"output_dir":null}}`,
		`null`, `{}`, `{"config":"c"} {}`, `{"config":"c","other":1}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in RunInput
		var err error
		fuzzguard.Call(t, len(raw), fuzzguard.Bound{PerByte: 100, Fixed: 1 << 14}, func() { in, err = ParseInput(raw) })
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of several lines: %q", err)
			}
			return
		}
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseInput(text)
		if in.Config == "" || err != nil {
			t.Fatalf("accepted %+v; written again: %v", in, err)
		}
		if len(in.Set) == 0 {
			in.Set = nil
		}
		if !reflect.DeepEqual(in, again) {
			t.Fatalf("%+v came back as %+v", in, again)
		}
	})
}

// FuzzParseDecision: whatever a person sends, one line answers; what is accepted is a decision, and says the same once it is written again.
func FuzzParseDecision(f *testing.F) {
	for _, text := range []string{
		`{"decision":"allow"}`, `{"decision":"deny","note":"why"}`, `null`, `{}`, `"allow"`, `{"decision":"Allow"}`, `{"decision":"deny"} 1`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d Decision
		var err error
		fuzzguard.Call(t, len(raw), fuzzguard.Bound{PerByte: 100, Fixed: 1 << 14}, func() { d, err = ParseDecision(raw) })
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of several lines: %q", err)
			}
			return
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseDecision(text)
		if d.Decision != Allow && d.Decision != Deny || len(d.Note) > MaxNote || again != d || err != nil {
			t.Fatalf("accepted %+v; written again: %+v, %v", d, again, err)
		}
	})
}
