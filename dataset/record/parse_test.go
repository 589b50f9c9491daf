package record

import (
	"reflect"
	"testing"
)

func TestParseLineReadsEveryField(t *testing.T) {
	r, reason, detail := parse([]byte(`{"instruction":"i\u3042","input":"","output":"o","four_class_label":"DENY","domain_label":"d","safety_label":"s",` +
		`"thinking_format":"q","system":"y","source_url":"https://example.com/","license":null,"nsfw":true}`))
	want := Record{Instruction: "iあ", Output: "o", FourClassLabel: "DENY", DomainLabel: "d", SafetyLabel: "s", ThinkingFormat: "q", System: "y",
		SourceURL: "https://example.com/", NSFW: true}
	if reason != "" || !reflect.DeepEqual(r, want) {
		t.Errorf("%+v, %s %s", r, reason, detail)
	}
}
