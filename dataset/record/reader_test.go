package record

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// reader is a Reader of options that hold.
func reader(t testing.TB, o Options) *Reader {
	t.Helper()
	r, err := NewReader(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryFieldIsRead(t *testing.T) {
	got, reason, detail := reader(t, Options{FourClass: true, UnknownColumns: "refuse"}).Parse([]byte(
		`{"instruction":"i\u3042\ud83d\ude00","input":"","output":"o","four_class_label":"DENY","domain_label":"d","safety_label":"s",`+
			`"thinking_format":"q","system":"y","source_url":"https://example.com/","license":null,"nsfw":true,"history":[["q","a"]]}`), nil)
	want := Record{Instruction: "iあ😀", Output: "o", FourClassLabel: "DENY", DomainLabel: "d", SafetyLabel: "s", ThinkingFormat: "q", System: "y",
		SourceURL: "https://example.com/", NSFW: true, Earlier: []Turn{{"user", "q"}, {"assistant", "a"}}}
	if reason != "" || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %s %s", got, reason, detail)
	}
}

// conversation is a record's turns, one a line.
func conversation(r Record) string {
	var b strings.Builder
	if r.System != "" {
		b.WriteString("S " + r.System + "\n")
	}
	for _, t := range r.Earlier {
		b.WriteString(strings.ToUpper(t.Role[:1]) + " " + t.Content + "\n")
	}
	b.WriteString("U " + r.Instruction)
	if r.Input != "" {
		b.WriteString(" + " + r.Input)
	}
	return b.String() + "\nA " + r.Output
}

func TestForms(t *testing.T) {
	for _, c := range []struct{ row, form, want, unknown string }{
		{`{"instruction":"i","output":"o"}`, "alpaca", "U i\nA o", ""},
		{`{"instruction":"i","input":null,"output":"o","system":"s"}`, "alpaca", "S s\nU i\nA o", ""},
		{`{"instruction":"i","input":"x","output":"o","system_prompt":"s"}`, "alpaca", "S s\nU i + x\nA o", ""},
		{`{"instruction":"i","context":"x","response":"o","category":"c"}`, "alpaca", "U i + x\nA o", "category"},
		{`{"instruction":"i","context":"x","output":"o"}`, "alpaca", "U i\nA o", "context"},
		{`{"instruction":"i","output":"o","history":[["a","b"],["c","d"]]}`, "alpaca", "U a\nA b\nU c\nA d\nU i\nA o", ""},
		{`{"prompt":"p","completion":"c"}`, "prompt_completion", "U p\nA c", ""},
		{`{"prompt":"p","response":"c","id":7}`, "prompt_completion", "U p\nA c", "id"},
		{`{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"completion":[{"role":"assistant","content":"a"}]}`,
			"prompt_completion", "S s\nU u\nA a", ""},
		{`{"question":"q","answer":"a"}`, "question_answer", "U q\nA a", ""},
		{`{"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"a"}],"prompt":"p"}`, "messages", "U u\nA a", "prompt"},
		{`{"messages":[{"role":"developer","content":"s"},{"role":"user","content":"u","name":"n"},{"role":"assistant","content":"a","weight":1},` +
			`{"role":"user","content":"v","name":"n"},{"role":"assistant","content":"b","tool_calls":null}]}`,
			"messages", "S s\nU u\nA a\nU v\nA b", "messages[].name messages[].tool_calls messages[].weight"},
		{`{"messages":[{"role":"user","content":[{"type":"text","text":"u"},{"type":"text","text":"v"}]},{"role":"assistant","content":"a"}]}`,
			"messages", "U uv\nA a", ""},
		{`{"system":"s","messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}]}`,
			"messages", "S s\nU u\nA a", ""},
		{`{"conversations":[{"from":"human","value":"u"},{"from":"gpt","value":"a"}],"system":"s"}`, "sharegpt", "S s\nU u\nA a", ""},
		{`{"conversations":[{"from":"gpt","value":"g"},{"from":"human","value":"u"},{"from":"human","value":"v"},{"from":"bing","value":"a"}]}`,
			"sharegpt", "A g\nU u\nU v\nA a", ""},
		{`{"messages":null,"conversations":[{"role":"user","content":"u"},{"role":"assistant","content":"a"}]}`, "sharegpt", "U u\nA a", ""},
	} {
		var seen Seen
		got, reason, detail := reader(t, Options{}).Parse([]byte(c.row), &seen)
		if reason != "" || conversation(got) != c.want {
			t.Errorf("%s: %q, %s %s, want %q", c.row, conversation(got), reason, detail, c.want)
			continue
		}
		want := Seen{Formats: map[string]int64{c.form: 1}}
		for _, column := range strings.Fields(c.unknown) {
			count(&want.UnknownColumns, column, 1)
		}
		if !reflect.DeepEqual(seen, want) {
			t.Errorf("%s: seen %+v, want %+v", c.row, seen, want)
		}
		// By its name the form is read as well, under another it is not.
		for _, form := range Formats[1:] {
			_, reason, _ := reader(t, Options{Format: form}).Parse([]byte(c.row), nil)
			if (reason == "") != (form == c.form) && form != "alpaca" {
				t.Errorf("%s as %s: %q", c.row, form, reason)
			}
		}
	}
}

func TestBadRows(t *testing.T) {
	turns := func(list string) string { return `{"messages":[` + list + `]}` }
	const user, assistant = `{"role":"user","content":"u"},`, `{"role":"assistant","content":"a"}`
	for _, c := range []struct {
		row    string
		reason Reason
		detail string
	}{
		{``, BlankLine, ""},
		{" \t", BlankLine, ""},
		{"{\"instruction\":\"\xff\"}", InvalidUTF8, ""},
		{`{"instruction":"\ud800","output":"o"}`, InvalidJSON, "at byte "},
		{`{"instruction":"i","output":"o"`, InvalidJSON, "at byte "},
		{`{"instruction":"i","output":"o"} {}`, InvalidJSON, "more follows the object"},
		{`[]`, WrongType, "the line is a JSON array"},
		{`null`, WrongType, "the line is a JSON null"},
		{`"x"`, WrongType, "the line is a JSON string"},
		{`{"instruction":"i","instruction":"j"}`, DuplicateKey, `"instruction"`},
		{`{"a":{"b":1,"b":2},"instruction":"i","output":"o"}`, DuplicateKey, `"b"`},
		{`{"instruction":1,"output":"o"}`, WrongType, "instruction is a JSON number"},
		{`{"instruction":"i","output":{"text":"o"}}`, WrongType, "output is a JSON object"},
		{`{"instruction":"i","output":"o","license":["MIT"]}`, WrongType, "license is a JSON array"},
		{`{"instruction":" ","output":"o"}`, EmptyField, "instruction"},
		{`{"prompt":"p","completion":""}`, EmptyField, "completion"},
		{`{}`, MissingField, "instruction, or messages, conversations, prompt, question"},
		{`{"instruction":"i"}`, MissingField, "output"},
		{`{"prompt":"p"}`, MissingField, "completion or response"},
		{`{"instruction":"i","output":null}`, MissingField, "output"},
		{`{"instruction":"i","output":"o","history":["a"]}`, WrongType, "history[0] is a JSON string"},
		{`{"instruction":"i","output":"o","history":[["a","b","c"]]}`, WrongType, "history[0] has 3 values"},
		{`{"instruction":"i","output":"o","nsfw":2}`, WrongType, "neither 0 nor 1"},
		{`{"instruction":"i","output":"o","nsfw":"perhaps"}`, WrongType, "nsfw is a word that says neither"},
		{`{"messages":"hello"}`, WrongType, "messages is a JSON string"},
		{`{"messages":[]}`, EmptyField, "messages"},
		{turns(user + `7`), WrongType, "messages[1] is a JSON number"},
		{turns(user + `{"content":"a"}`), MissingField, "messages[1].role"},
		{turns(user + `{"role":"assistant","content":null}`), MissingField, "messages[1].content"},
		{turns(user + `{"role":"assistant","content":" "}`), EmptyField, "messages[1].content"},
		{turns(user + `{"role":"assistant","content":3}`), WrongType, "messages[1].content is a JSON number"},
		{turns(user + `{"role":"tool","content":"x"},` + assistant), UnknownRole, `messages[1].role is "tool"`},
		{turns(user + `{"role":"` + strings.Repeat("あ", 100) + `","content":"x"}`), UnknownRole, `"` + strings.Repeat("あ", 40) + `"`},
		{turns(user + `{"role":"system","content":"s"},` + assistant), MisplacedSystem, "messages[1]"},
		{`{"system":"other",` + turns(`{"role":"system","content":"s"},` + user + assistant)[1:], MisplacedSystem, "messages[0]"},
		{turns(user + assistant + `,{"role":"user","content":"v"}`), NoAnswer, "messages does not end with the assistant"},
		{turns(`{"role":"system","content":"s"}`), NoAnswer, "messages"},
		{turns(assistant), NoPrompt, "messages"},
		{turns(user + assistant + "," + assistant), NoPrompt, "messages"},
		{turns(`{"role":"user","content":[{"type":"image_url","image_url":{}}]},` + assistant), NotText, `messages[0].content[0] is "image_url"`},
		{turns(`{"role":"user","content":["u"]},` + assistant), WrongType, "messages[0].content[0] is a JSON string"},
	} {
		got, reason, detail := reader(t, Options{}).Parse([]byte(c.row), &Seen{})
		if reason != c.reason || !strings.Contains(detail, c.detail) || !reflect.DeepEqual(got, Record{}) {
			t.Errorf("%s: %s %q, %+v, want %s %q", c.row, reason, detail, got, c.reason, c.detail)
		}
	}
}

func TestLabels(t *testing.T) {
	row := `{"instruction":"i","output":"o","four_class_label":%s}`
	mapped := map[string]string{"0": "ALLOW", "1": "DENY", "true": "REFUSE", "safe": "ALLOW"}
	for _, c := range []struct {
		value          string
		labels         map[string]string
		want           string
		folded, detail string
	}{
		{`"DENY"`, nil, "DENY", "", ""},
		{`"deny"`, nil, "DENY", "deny → DENY", ""},
		{`"ＤＥＮＹ"`, nil, "DENY", "ＤＥＮＹ → DENY", ""},
		{`"DENY "`, nil, "DENY", "DENY  → DENY", ""},
		{`"Ｄeny\n"`, mapped, "DENY", "Ｄeny\n → DENY", ""},
		{`0`, mapped, "ALLOW", "", ""},
		{`1.0`, mapped, "DENY", "", ""},
		{`"1"`, mapped, "DENY", "", ""},
		{`true`, mapped, "REFUSE", "", ""},
		{`"safe"`, mapped, "ALLOW", "", ""},
		{`"SAFE"`, mapped, "ALLOW", "SAFE → ALLOW", ""},
		{`"deny"`, mapped, "DENY", "deny → DENY", ""},
		{`2`, mapped, "", "", `unknown_label "2", not one of ALLOW, ESCALATION, DENY, REFUSE`},
		{`false`, mapped, "", "", `unknown_label "false", not one of`},
		{`"許可"`, nil, "", "", `unknown_label "許可", not one of ALLOW, ESCALATION, DENY, REFUSE`},
		{`"` + strings.Repeat("長", 50) + `"`, nil, "", "", `unknown_label "` + strings.Repeat("長", 40) + `", not`},
		{`0`, nil, "", "", `unknown_label "0", not one of ALLOW`},
		{`true`, nil, "", "", `unknown_label "true", not one of ALLOW`},
		{`[]`, nil, "", "", "wrong_type four_class_label is a JSON array"},
		{`1.0`, map[string]string{"1.0": "REFUSE", "2": "ALLOW"}, "REFUSE", "", ""},
		{`null`, nil, "", "", "missing_field four_class_label"},
		{`""`, nil, "", "", "empty_field four_class_label"},
	} {
		var seen Seen
		r := reader(t, Options{FourClass: true, Labels: c.labels})
		got, reason, detail := r.Parse(fmt.Appendf(nil, row, c.value), &seen)
		told := strings.TrimSpace(fmt.Sprint(string(reason), " ", detail))
		if got.FourClassLabel != c.want || !strings.HasPrefix(told, c.detail) || (c.folded != "") != (seen.FoldedLabels[c.folded] == 1) {
			t.Errorf("%s: %q, %s, folded %v", c.value, got.FourClassLabel, told, seen.FoldedLabels)
		}
		// Without the four classes a label that is none is a column like any other.
		got, reason, _ = reader(t, Options{Labels: c.labels}).Parse(fmt.Appendf(nil, row, c.value), &seen)
		if reason != "" || got.FourClassLabel != c.want || c.want == "" && c.value != "null" && seen.UnknownColumns["four_class_label"] != 1 {
			t.Errorf("%s without classes: %q, %s, %v", c.value, got.FourClassLabel, reason, seen.UnknownColumns)
		}
	}
}

func TestColumns(t *testing.T) {
	columns := map[string]string{"instruction": "q.text", "output": "a", "four_class_label": "x.y.z", "input": "none", "nsfw": "n.w", "messages": "m"}
	for _, c := range []struct{ row, want, unknown string }{
		{`{"q":{"text":"i","lang":"ja"},"a":"o","x":{"y":{"z":"DENY","w":1},"v":2},"n":{"w":"NSFW"}}`, "U i\nA o|DENY|true", "q.lang x.v x.y.w"},
		{`{"q":{"text":"nested"},"q.text":"literal","a":"o","x.y":{"z":"DENY"}}`, "U literal\nA o|DENY|false", "q"},
		{`{"q":{"text":"i"},"a":"o","output":"other","four_class_label":"ALLOW","x":{"y.z":"DENY"},"input":"other"}`, "U i\nA o|DENY|false",
			"four_class_label input output"},
		{`{"m":[{"from":"user","value":"u"},{"from":"gpt","value":"v"}],"x":{"y":{"z":"ALLOW"}},"q":{"text":"i"}}`, "U u\nA v|ALLOW|false", "q"},
	} {
		var seen Seen
		got, reason, detail := reader(t, Options{FourClass: true, Columns: columns}).Parse([]byte(c.row), &seen)
		told := fmt.Sprintf("%s|%s|%t", conversation(got), got.FourClassLabel, got.NSFW)
		want := map[string]int64{}
		for _, column := range strings.Fields(c.unknown) {
			want[column] = 1
		}
		if reason != "" || told != c.want || !maps.Equal(seen.UnknownColumns, want) {
			t.Errorf("%s: %q %s %s, unknown %v, want %q %v", c.row, told, reason, detail, seen.UnknownColumns, c.want, want)
		}
		_, reason, detail = reader(t, Options{FourClass: true, Columns: columns, UnknownColumns: "refuse"}).Parse([]byte(c.row), nil)
		if reason != UnknownField || !strings.Contains(c.unknown, strings.Trim(detail, `"`)) {
			t.Errorf("%s: refused as %s %s", c.row, reason, detail)
		}
	}
	_, reason, detail := reader(t, Options{FourClass: true, Columns: columns}).Parse([]byte(`{"q":{"text":"i"},"a":"o","x":{"y":{"z":null}}}`), nil)
	if reason != MissingField || detail != `four_class_label (column "x.y.z")` {
		t.Errorf("%s %s", reason, detail)
	}
	var seen Seen
	_, reason, _ = reader(t, Options{}).Parse([]byte(`{"instrution":"i","output":"o"}`), &seen)
	if reason != MissingField || seen.UnknownColumns["instrution"] != 1 {
		t.Errorf("a misspelt name: %s, %v", reason, seen)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]Options{
		"data.format":          {Format: "chatml"},
		"data.columns.foo":     {Columns: map[string]string{"foo": "bar"}},
		"data.columns.input":   {Columns: map[string]string{"input": ""}},
		"data.labels.bad":      {Labels: map[string]string{"bad": "FORBID"}},
		"data.labels.ok":       {Labels: map[string]string{"OK": "ALLOW", "ok": "DENY"}},
		"data.unknown_columns": {UnknownColumns: "ignore"},
	} {
		if _, err := NewReader(o); err == nil || !strings.HasPrefix(err.Error(), want+": ") {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
}

func TestSeenIsBounded(t *testing.T) {
	r := reader(t, Options{})
	var one, two Seen
	for i := range 3 * maxSeen {
		r.Parse(fmt.Appendf(nil, `{"instruction":"i","output":"o","k%03d":0,"%s":1}`, i, strings.Repeat("長", 90)), &one)
	}
	two.Add(&one)
	two.Add(&one)
	for _, s := range []Seen{one, two} {
		if len(s.UnknownColumns) > maxSeen+1 || s.UnknownColumns["k000"] == 0 || s.UnknownColumns[rest] == 0 {
			t.Errorf("%d columns, %d under the rest", len(s.UnknownColumns), s.UnknownColumns[rest])
		}
		for name := range s.UnknownColumns {
			if len(name) > maxName+len(rest) {
				t.Errorf("a name of %d bytes", len(name))
			}
		}
	}
	if two.Formats["alpaca"] != 2*one.Formats["alpaca"] || one.Formats["alpaca"] != 3*maxSeen {
		t.Errorf("%v, %v", one.Formats, two.Formats)
	}
}

func TestReaderIsConcurrent(t *testing.T) {
	r := reader(t, Options{FourClass: true, Columns: map[string]string{"four_class_label": "a.b"}})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 200 {
				text := strings.Repeat(string(rune('a'+i)), 1+j%7)
				row := fmt.Appendf(nil, `{"messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"%s"}],"a":{"b":"DENY"}}`, text, text)
				got, reason, _ := r.Parse(row, &Seen{})
				if reason != "" || got.Instruction != text || got.Output != text || got.FourClassLabel != "DENY" {
					t.Errorf("%+v, %s", got, reason)
					return
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkParse(b *testing.B) {
	text := strings.Repeat("機密情報の持ち出しについて、手順を教えてください。", 8)
	quote := func(s string) string { q, _ := json.Marshal(s); return string(q) }
	for name, row := range map[string]string{
		"alpaca": fmt.Sprintf(`{"instruction":%s,"input":"","output":%s,"four_class_label":"DENY","domain_label":"office","id":17}`, quote(text), quote(text)),
		"messages": fmt.Sprintf(`{"messages":[{"role":"system","content":"s"},{"role":"user","content":%s},{"role":"assistant","content":%s}],`+
			`"four_class_label":"DENY"}`, quote(text), quote(text)),
	} {
		b.Run(name, func(b *testing.B) {
			r := reader(b, Options{FourClass: true})
			b.SetBytes(int64(len(row)))
			b.ReportAllocs()
			var seen Seen
			for b.Loop() {
				if _, reason, _ := r.Parse([]byte(row), &seen); reason != "" {
					b.Fatal(reason)
				}
			}
		})
	}
}
