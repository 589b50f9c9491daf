package policy

import (
	"testing"

	"so8t/fuzzguard"
)

// readBound: runes and offsets of the text, and a second reading of what was masked; the fixed amount is the numbering plans.
var readBound = fuzzguard.Bound{PerByte: 2048, Fixed: 64 << 20}

// FuzzPersonal: whatever the text, no rule panics, values lie on boundaries of characters, masking leaves nothing to find, is the
// same twice, and changes nothing else.
func FuzzPersonal(f *testing.F) {
	for _, c := range readSeeds(f, "testdata/cases/pii.jsonl") {
		f.Add(c)
	}
	for _, text := range []string{"a@b@example.com", "\xff電話\xe3\x810312345678", "+81(0)3-1234-0098", "[EMAIL]@example.com", "ﾞ゛か\u3099", "2001:db8::1%a.b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fuzzguard.Call(t, len(text), readBound, func() { findPersonal(text) })
		holdProperties(t, text)
		holdsLook(t, text)
	})
}

// FuzzConfidential: whatever the text, the rule answers, and a marker's place lies on boundaries of characters.
func FuzzConfidential(f *testing.F) {
	for _, c := range readSeeds(f, "testdata/cases/confidential.jsonl") {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fuzzguard.Call(t, len(text), readBound, func() {
			start, end, marked := confidentialAt(text)
			holdsLook(t, text)
			if marked && (start >= end || end > len(text)) || !marked && end != 0 {
				t.Fatalf("%q: [%d, %d) of %d bytes, marked is %t", text, start, end, len(text), marked)
			}
		})
	})
}

// readSeeds returns the texts of a set.
func readSeeds(f *testing.F, path string) (texts []string) {
	f.Helper()
	for _, c := range readSet[personalCase](f, path) {
		texts = append(texts, c.Text)
	}
	return texts
}
