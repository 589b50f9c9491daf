package jinja

import (
	"os"
	"strings"
	"testing"

	"so8t/fuzzguard"
)

// parseBound: tokens of 72 bytes, nodes and the names of their scopes.
var parseBound = fuzzguard.Bound{PerByte: 8192, Fixed: 2 << 20}

// renderBound: what the engine counts, which some operations make twice, and what the counts leave out.
func renderBound(l Limits) fuzzguard.Bound {
	return fuzzguard.Bound{PerByte: 16 * memoryPerByte, Fixed: 4*uint64(l.Memory) + 400*uint64(l.Steps)}
}

// FuzzTemplate: whatever the template, it is refused or ends, with a text or an error of one line.
func FuzzTemplate(f *testing.F) {
	for _, path := range []string{"testdata/constructs.txt", "testdata/expressions.txt"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		by, open, end := "\n====\n", "", ""
		if strings.Contains(path, "expressions") {
			by, open, end = "\n", "{{ ", " }}"
		}
		for _, text := range strings.Split(string(data), by) {
			f.Add(open+text+end, "user", "a b")
		}
	}
	for _, text := range endless {
		f.Add(text, "user", "質問\n")
	}
	limits := Limits{Steps: 1 << 16, Memory: 4 << 20, Output: 1 << 20, Now: caseClock}
	f.Fuzz(func(t *testing.T, template, role, content string) {
		if len(template) > 1<<14 || len(role)+len(content) > 1<<12 {
			return
		}
		check := func(err error) {
			if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), engineFault)) {
				t.Fatalf("%q: the error %q", template, err)
			}
		}
		var parsed *Template
		var err error
		fuzzguard.Call(t, len(template), parseBound, func() { parsed, err = Parse(template) })
		if check(err); err != nil {
			return
		}
		variables := map[string]any{"messages": []any{Dict{{"role", role}, {"content", content}}, Dict{{"role", "assistant"}, {"content", content}}},
			"add_generation_prompt": true, "bos_token": "<s>", "n": int64(7), "f": 2.5, "l": []any{int64(3), "x"}, "d": Dict{{"a", nil}}}
		var r, again Rendering
		fuzzguard.Call(t, len(template)+len(role)+len(content), renderBound(limits), func() { r, err = parsed.Render(variables, limits) })
		check(err)
		again, err2 := parsed.Render(variables, limits)
		if r.Text != again.Text || (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("%q: first %q, %v, then %q, %v", template, r.Text, err, again.Text, err2)
		}
		for _, g := range r.Generated {
			if g[0] < 0 || g[0] > g[1] || g[1] > len(r.Text) {
				t.Fatalf("%q: generated %v of %d bytes", template, g, len(r.Text))
			}
		}
	})
}
