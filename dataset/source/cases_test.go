package source

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/encoding/japanese"

	"so8t/dataset/record"
)

// parsed reads a file's records as a run of four classes does.
func parsed(t *testing.T, content []byte) (records []record.Record, bad []string, seen record.Seen) {
	t.Helper()
	list, err := blocks([]string{write(t, "records", content)}, Position{})
	if err != nil {
		return nil, []string{err.Error()}, seen
	}
	r, err := record.NewReader(record.Options{FourClass: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		for _, row := range b.Rows {
			rec, reason, detail := r.Parse(row.JSON, &seen)
			if reason != "" {
				bad = append(bad, fmt.Sprint(row.Line, " ", reason, " ", detail))
				continue
			}
			rec.Line = row.Line
			records = append(records, rec)
		}
	}
	return records, bad, seen
}

// TestCase16BlankLines (graphrag#2424, jsonlines#18): lines without a record are passed over, and are no bad lines.
func TestCase16BlankLines(t *testing.T) {
	for name, text := range map[string]string{
		"between":              good + "\n" + good,
		"at the end":           good + good + "\n\n\n",
		"at the beginning":     "\n\n" + good + good,
		"white space":          good + " \t \n" + good + "\t",
		"CR LF":                strings.ReplaceAll("\n"+good+"\n"+good, "\n", "\r\n"),
		"a mark before a line": "\uFEFF\n" + good + good,
		"UTF-16":               string(utf16Of("\uFEFF"+good+"\n\n"+good+"\n", 0)),
	} {
		records, bad, _ := parsed(t, []byte(text))
		if len(records) != 2 || len(bad) > 0 {
			t.Errorf("%s: %d records, bad %v", name, len(records), bad)
		}
	}
	records, bad, _ := parsed(t, []byte("\n"+good+"\n{}\n"+good))
	if len(bad) != 1 || !strings.HasPrefix(bad[0], "4 missing_field") || records[1].Line != 5 {
		t.Errorf("blank lines count as lines of the file: %v, %+v", bad, records)
	}
}

// TestCase17OtherForms (datasets#6851, LlamaFactory#3665, #7016): what people have is read, or said by name.
func TestCase17OtherForms(t *testing.T) {
	sjis, _ := japanese.ShiftJIS.NewEncoder().String(strings.Repeat(good, 300))
	euc, _ := japanese.EUCJP.NewEncoder().String(strings.Repeat(good, 3))
	line := strings.TrimSpace(good)
	messages := `{"messages":[{"role":"user","content":"社外秘の資料を読めますか"},{"role":"assistant","content":"いいえ、お答えできません"}],"four_class_label":"DENY"}`
	turns := strings.NewReplacer("messages", "conversations", "role", "from", "content", "value", "user", "human", "assistant", "gpt")
	pretty := texts([]string{line})["pretty"]
	var want record.Record
	if err := json.Unmarshal([]byte(line), &want); err != nil {
		t.Fatal(err)
	}
	want.Line = 1
	for name, c := range map[string]struct{ content, want string }{
		"UTF-16":            {string(utf16Of("\uFEFF"+good, 0)), ""},
		"UTF-16, BE, array": {string(utf16Of("\uFEFF["+good+"]", 1)), ""},
		"gzip":              {string(compressions["gzip"]([]byte(good))), ""},
		"zstd of an array":  {string(compressions["zstd"]([]byte("[" + good + "]"))), ""},
		"JSON array":        {"[\n" + good + "]", ""},
		"pretty JSON":       {pretty + "\n", ""},
		"pretty in gzip":    {string(compressions["gzip"]([]byte(pretty))), ""},
		"ShareGPT":          {turns.Replace(messages), ""},
		"messages":          {messages, ""},
		"prompt":            {strings.NewReplacer("instruction", "prompt", "output", "completion").Replace(line), ""},
		"deny":              {strings.ReplaceAll(line, "DENY", "deny"), ""},
		"ＤＥＮＹ":              {strings.ReplaceAll(line, "DENY", "ＤＥＮＹ"), ""},
		"DENY and a space":  {strings.ReplaceAll(line, "DENY", "DENY "), ""},
		"Ｄeny, U+3000":      {strings.ReplaceAll(line, "DENY", "\u3000Ｄeny"), ""},
		"another word":      {strings.ReplaceAll(line, "DENY", "FORBID"), `1 unknown_label "FORBID", not one of ALLOW, ESCALATION, DENY, REFUSE`},
		"Shift_JIS":         {sjis, "is Shift_JIS: convert it with iconv -f CP932 -t UTF-8"},
		"EUC-JP":            {euc, "is EUC-JP"},
	} {
		records, bad, seen := parsed(t, []byte(c.content))
		if c.want != "" {
			if len(records) > 0 || len(bad) != 1 || !strings.Contains(bad[0], c.want) {
				t.Errorf("%s: %d records, bad %v, want %s", name, len(records), bad, c.want)
			}
			continue
		}
		if len(records) != 1 || records[0].Digest() != want.Digest() {
			t.Errorf("%s: %+v, bad %v", name, records, bad)
		}
		if folded := strings.Contains(name, "ＤＥＮＹ") || strings.Contains(strings.ToLower(name), "eny,") ||
			strings.HasPrefix(strings.ToLower(name), "deny"); folded != (len(seen.FoldedLabels) == 1) {
			t.Errorf("%s: folded %v", name, seen.FoldedLabels)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	line := `{"instruction":"` + strings.Repeat("機密情報の持ち出しについて、手順を教えてください。", 8) + `","input":"","output":"` +
		strings.Repeat("お答えできません。", 30) + `","four_class_label":"DENY"}` + "\n"
	text := strings.Repeat(line, 20000)
	array := "[" + strings.TrimSuffix(strings.ReplaceAll(text, "\n", ",\n"), ",\n") + "]"
	for name, data := range map[string][]byte{
		"jsonl": []byte(text), "array": []byte(array), "utf-16": utf16Of("\uFEFF"+text, 0),
		"gzip": compressions["gzip"]([]byte(text)), "zstd": compressions["zstd"]([]byte(text)),
	} {
		b.Run(name, func(b *testing.B) {
			path := write(b, "x", data)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				in, err := Open([]string{path})
				if err == nil {
					err = in.Read(b.Context(), Position{}, func(Block) error { return nil })
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
