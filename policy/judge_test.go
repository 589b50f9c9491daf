package policy

import (
	"strings"
	"testing"

	"so8t/policy/robots"
)

// stored are the answers that the records' sites gave.
var stored = robots.Memory{
	"open.example":      {Status: 200, Text: []byte("")},
	"part.example":      {Status: 200, Text: []byte("User-agent: *\nDisallow: /private\nUser-agent: mihonbot\nDisallow: /bot\n")},
	"part.example_8443": {Status: 200, Text: []byte("User-agent: *\nDisallow: /\n")},
	"gone.example":      {Status: 404},
	"down.example":      {Status: 503},
	"silent.example":    {Status: 0},
	"no-ai.example":     {Status: 200, Text: []byte("User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\nDisallow: /private\n")},
	"no-ai-404.example": {Status: 404, Text: []byte("Content-Signal: ai-train=no")},

	"xn--wgv71a119e.example": {Status: 200, Text: []byte("User-agent: *\nDisallow: /\u793e\n")},
}

func required(o *Options) { o.Robots = "require" }

func listing(ids ...string) func(*Options) { return func(o *Options) { o.Licenses = ids } }

// judged is a record under the default policy with a change, and what becomes of it.
type judged struct {
	why    string
	change func(*Options)
	record Record
	result Result
	rule   string
}

func judgeAll(t *testing.T, cases []judged) {
	t.Helper()
	for _, c := range cases {
		o := Default()
		if c.change != nil {
			c.change(&o)
		}
		p, err := NewWithStore(o, stored)
		if err != nil {
			t.Fatal(err)
		}
		if v := p.Judge(&c.record); v.Result != c.result || v.Rule != c.rule {
			t.Errorf("%s: %s by %q", c.why, v.Result, v.Rule)
		}
	}
}

func TestJudgeSources(t *testing.T) {
	judgeAll(t, []judged{
		{"nothing applies", nil, Record{Label: "ALLOW"}, Keep, ""},
		{"nsfw teaches ALLOW", nil, Record{NSFW: true, Label: "ALLOW"}, Bad, "nsfw_allowed"},
		{"nsfw teaches DENY", nil, Record{NSFW: true, Label: "DENY"}, Keep, ""},
		{"nsfw teaches ESCALATION", nil, Record{NSFW: true, Label: "ESCALATION"}, Keep, ""},
		{"nsfw without a label cannot be shown to teach refusal", nil, Record{NSFW: true}, Remove, "nsfw"},
		{"all nsfw dropped, even ALLOW", func(o *Options) { o.NSFW = "drop" }, Record{NSFW: true, Label: "ALLOW"}, Remove, "nsfw"},
		{"nsfw dropped, record not marked", func(o *Options) { o.NSFW = "drop" }, Record{Label: "ALLOW"}, Keep, ""},

		{"robots off: any URL", nil, Record{SourceURL: "somewhere"}, Keep, ""},
		{"no absolute URL", required, Record{SourceURL: "/docs/1"}, Bad, "source_url"},
		{"a scheme alone", required, Record{SourceURL: "https://"}, Bad, "source_url"},
		{"blank is no URL", required, Record{SourceURL: " "}, Bad, "source_url"},
		{"another scheme", required, Record{SourceURL: "s3://open.example/x"}, Bad, "source_url"},
		{"no URL", required, Record{}, Keep, ""},
		{"an empty file", required, Record{SourceURL: "https://open.example/x"}, Keep, ""},
		{"disallowed for any agent", required, Record{SourceURL: "https://part.example/private/1"}, Remove, "robots"},
		{"another agent's rule", required, Record{SourceURL: "https://part.example/bot"}, Keep, ""},
		{"every agent is asked", func(o *Options) { required(o); o.RobotsAgents = []string{"*", "Mihonbot"} },
			Record{SourceURL: "https://part.example/bot"}, Remove, "robots"},
		{"an own group excludes *", func(o *Options) { required(o); o.RobotsAgents = []string{"mihonbot"} },
			Record{SourceURL: "https://part.example/private"}, Keep, ""},
		{"another port", required, Record{SourceURL: "https://part.example:8443/"}, Remove, "robots"},
		{"a port of which nothing is stored", required, Record{SourceURL: "https://part.example:8444/"}, Remove, "robots_missing"},
		{"http's own port", required, Record{SourceURL: "http://part.example:80/x"}, Keep, ""},
		{"https's port with http", required, Record{SourceURL: "http://part.example:443/x"}, Remove, "robots_missing"},
		{"an international name", required, Record{SourceURL: "https://\u65e5\u672c\u8a9e.example/\u793e/1"}, Remove, "robots"},
		{"unavailable", required, Record{SourceURL: "https://gone.example/private"}, Keep, ""},
		{"unreachable", required, Record{SourceURL: "https://down.example/"}, Remove, "robots"},
		{"no answer", required, Record{SourceURL: "https://silent.example/"}, Remove, "robots"},
		{"never asked", required, Record{SourceURL: "https://other.example/"}, Remove, "robots_missing"},
		{"training refused", required, Record{SourceURL: "https://no-ai.example/x"}, Remove, "content_signal"},
		{"robots comes before the signal", required, Record{SourceURL: "https://no-ai.example/private"}, Remove, "robots"},
		{"signals ignored", func(o *Options) { required(o); o.ContentSignals = "ignore" }, Record{SourceURL: "https://no-ai.example/x"}, Keep, ""},
		{"the text of an error is no robots.txt", required, Record{SourceURL: "https://no-ai-404.example/x"}, Keep, ""},
	})
}

func TestJudgeLicenses(t *testing.T) {
	judgeAll(t, []judged{
		{"listed", listing("MIT", "CC0-1.0"), Record{License: "cc0-1.0\n"}, Keep, ""},
		{"not listed", listing("MIT"), Record{License: "CC-BY-NC-4.0"}, Remove, "license"},
		{"malformed", listing("MIT"), Record{License: "MIT OR"}, Remove, "license"},
		{"missing, kept", listing("MIT"), Record{}, Keep, ""},
		{"missing, dropped", func(o *Options) { o.Licenses, o.LicenseMissing = []string{"MIT"}, "drop" }, Record{License: " \t"}, Remove, "license_missing"},
		{"missing without a list", func(o *Options) { o.LicenseMissing = "drop" }, Record{}, Keep, ""},
	})
}

func TestJudgeTexts(t *testing.T) {
	judgeAll(t, []judged{
		{"nsfw before source_url", required, Record{NSFW: true, Label: "ALLOW", SourceURL: "x"}, Bad, "nsfw_allowed"},
		{"source_url before license", func(o *Options) { required(o); o.Licenses = []string{"MIT"} }, Record{License: "x", SourceURL: "x"}, Bad, "source_url"},
		{"license before robots", func(o *Options) { required(o); o.Licenses = []string{"MIT"} },
			Record{License: "x", SourceURL: "https://down.example/"}, Remove, "license"},
		{"robots before personal data", required,
			Record{SourceURL: "https://down.example/", Texts: []Text{{"input", "taro@example.com"}}}, Remove, "robots"},
		{"personal data before confidential", nil,
			Record{Texts: []Text{{"instruction", "【社外秘】"}, {"output", "taro@example.com"}}}, Remove, "pii:email"},
		{"the first text that holds some", nil,
			Record{Texts: []Text{{"input", "電話 03-1234-0098"}, {"output", "taro@example.com"}}}, Remove, "pii:phone"},
		{"an earlier turn", nil, Record{Texts: []Text{{"turns[0]", "taro@example.com"}, {"output", "x"}}}, Remove, "pii:email"},
		{"one kind kept", func(o *Options) { o.PIIKinds = map[string]string{"email": "keep"} },
			Record{Texts: []Text{{"output", "taro@example.com"}}}, Keep, ""},
		{"one kind dropped", func(o *Options) { o.PII, o.PIIKinds = "keep", map[string]string{"email": "drop"} },
			Record{Texts: []Text{{"output", "電話 03-1234-0098、taro@example.com"}}}, Remove, "pii:email"},
		{"all kept", func(o *Options) { o.PII = "keep" }, Record{Texts: []Text{{"output", "taro@example.com"}}}, Keep, ""},
		{"confidential", nil, Record{Texts: []Text{{"output", "【極秘】計画"}}}, Remove, "confidential"},
		{"confidential kept", func(o *Options) { o.Confidential = "keep" }, Record{Texts: []Text{{"output", "【極秘】計画"}}}, Keep, ""},
		{"confidential is read where personal data is masked", func(o *Options) { o.PII = "mask" },
			Record{Texts: []Text{{"input", "taro@example.com"}, {"output", "【極秘】計画"}}}, Remove, "confidential"},
	})
}

// Places are counted in characters, of the text as it came.
func TestJudgeSaysWhere(t *testing.T) {
	p, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	v := p.Judge(&Record{Texts: []Text{{"input", "なし"}, {"output", "連絡は taro@example.com へ"}}})
	if want := (Span{"output", 4, 16}); v.At != want || v.Masks != nil {
		t.Errorf("%+v, want %+v", v, want)
	}
	v = p.Judge(&Record{Texts: []Text{{"input", "計画書\n【社外秘】\n以下"}}})
	if v.Rule != "confidential" || v.At.Field != "input" || v.At.Start < 4 || v.At.Start+v.At.Length > 9 {
		t.Errorf("%+v", v)
	}
}

func TestJudgeMasks(t *testing.T) {
	o := Default()
	o.PIIKinds = map[string]string{"email": "mask", "phone": "drop", "credit_card": "keep"}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	const card = "カード 4111 1111 1111 1111"
	r := Record{Texts: []Text{{"instruction", "宛先は taro@example.com です"}, {"input", card}, {"output", "hanako@example.com へ、taro@example.com から"}}}
	v := p.Judge(&r)
	want := []Mask{{"email", Span{"instruction", 4, 16}}, {"email", Span{"output", 0, 18}}, {"email", Span{"output", 21, 16}}}
	if v.Result != Keep || len(v.Masks) != len(want) {
		t.Fatalf("%+v", v)
	}
	for i := range want {
		if v.Masks[i] != want[i] {
			t.Errorf("mask %d: %+v, want %+v", i, v.Masks[i], want[i])
		}
	}
	for _, text := range r.Texts {
		if strings.Contains(text.Text, "@") {
			t.Errorf("%s is left: %q", text.Field, text.Text)
		}
	}
	if r.Texts[1].Text != card {
		t.Errorf("a kind that is kept was masked: %q", r.Texts[1].Text)
	}

	before := []Text{{"instruction", "taro@example.com"}, {"output", "電話 03-1234-0098"}}
	r = Record{Texts: append([]Text(nil), before...)}
	if v = p.Judge(&r); v.Rule != "pii:phone" || v.At.Field != "output" || v.Masks != nil || r.Texts[0] != before[0] {
		t.Errorf("a kind that is dropped decides before masks are put in: %+v, %v", v, r.Texts)
	}
}
