package jinja

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// renderCase is what transformers' own Jinja makes of a template: testdata/make_cases.py.
type renderCase struct {
	Name                string
	Template            string
	Messages            json.RawMessage
	AddGenerationPrompt bool            `json:"add_generation_prompt"`
	Variables           json.RawMessage // tools and others
	Expected            string
	Error               bool
	Generated           [][2]int // in characters
	Refused             bool     // here an error, there not
}

// caseClock is the hour at which the cases' strftime_now was called.
func caseClock() time.Time { return time.Date(2024, 7, 26, 15, 4, 5, 123456000, time.UTC) }

// TestCasesTemplates renders every case exactly: those of testdata, and those of the folder that SO8T_CASES names.
func TestCasesTemplates(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	if dir := os.Getenv("SO8T_CASES"); dir != "" {
		if path := filepath.Join(dir, "templates.jsonl"); exists(path) {
			files = append(files, path)
		}
	}
	for _, path := range files {
		failed := 0
		parsed := map[string]*Template{}
		n := eachCase(t, path, func(c renderCase) {
			if failed < 40 && !checkCase(t, parsed, c) {
				failed++
			}
		})
		t.Logf("%s: %d cases", path, n)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func eachCase(t testing.TB, path string, f func(renderCase)) (n int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader = bytes.NewReader(data)
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var c renderCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("%s: line %d: %v", path, n+1, err)
		}
		f(c)
		n++
	}
	if lines.Err() != nil || n == 0 {
		t.Fatalf("%s: %d cases, %v", path, n, lines.Err())
	}
	return n
}

func checkCase(t *testing.T, parsed map[string]*Template, c renderCase) bool {
	t.Helper()
	template, ok := parsed[c.Template]
	var err error
	if !ok {
		if template, err = Parse(c.Template); err == nil {
			parsed[c.Template] = template
		}
	}
	var r Rendering
	if err == nil {
		r, err = template.Render(variablesOf(t, c), Limits{Now: caseClock})
	}
	if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), engineFault)) {
		t.Errorf("%s: the error %v", c.Name, err)
		return false
	}
	if wants := c.Error || c.Refused; (err != nil) != wants || err == nil && r.Text != c.Expected {
		t.Errorf("%s: %.2000s\nmessages %s %s %t: error %v, want %t\ngot  %q\nwant %q", c.Name, c.Template, c.Messages, c.Variables, c.AddGenerationPrompt,
			err, wants, r.Text, c.Expected)
		return false
	}
	if c.Generated != nil {
		length := len([]rune(r.Text)) // an end beyond it is what a filter cut off
		for i := range c.Generated {
			c.Generated[i][1] = min(c.Generated[i][1], length)
		}
		var got [][2]int
		for _, g := range r.Generated {
			got = append(got, [2]int{len([]rune(r.Text[:g[0]])), len([]rune(r.Text[:g[1]]))})
		}
		if !reflect.DeepEqual(got, c.Generated) && len(got)+len(c.Generated) > 0 {
			t.Errorf("%s: %s\ngenerated %v, want %v of %q", c.Name, c.Template, got, c.Generated, r.Text)
			return false
		}
	}
	return true
}

func variablesOf(t testing.TB, c renderCase) map[string]any {
	vars := map[string]any{"add_generation_prompt": c.AddGenerationPrompt, "bos_token": "<s>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
		"unk_token": "<unk>"}
	if c.Messages != nil {
		vars["messages"] = ordered(t, c.Messages)
	}
	if c.Variables != nil {
		for _, item := range ordered(t, c.Variables).(Dict) {
			vars[item.Key] = item.Value
		}
	}
	return vars
}

// ordered decodes JSON and keeps the order of keys.
func ordered(t testing.TB, raw json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := orderedValue(d)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func orderedValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := orderedValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		dict := Dict{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := orderedValue(d)
			if err != nil {
				return nil, err
			}
			dict = append(dict, Item{key.(string), v})
		}
		_, err = d.Token()
		return dict, err
	}
	return token, nil
}
