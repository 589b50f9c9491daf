package dataset

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"so8t/dataset/record"
	"so8t/tokenizer"
)

// phi35 is the folder of Phi-3.5's tokenizer, beside the repository or in the folder that SO8T_SHARED names. Where it is
// absent the test is skipped, unless SO8T_REQUIRE_SHARED is 1.
func phi35(t testing.TB) string {
	t.Helper()
	root := os.Getenv("SO8T_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	path, err := filepath.Abs(filepath.Join(root, "phi35"))
	if _, statErr := os.Stat(path); err != nil || statErr != nil {
		if os.Getenv("SO8T_REQUIRE_SHARED") == "1" {
			t.Fatalf("%s: %v, %v", path, err, statErr)
		}
		t.Skipf("%s is absent", path)
	}
	return path
}

// withTemplate loads the tokenizer of a folder with another chat template; "": its own.
func withTemplate(t testing.TB, folder, template string) *tokenizer.Tokenizer {
	t.Helper()
	if template == "" {
		return withFiles(t, folder, nil)
	}
	return withFiles(t, folder, map[string]string{"chat_template.jinja": template})
}

// withFiles loads the tokenizer of a folder with some of its files replaced or added.
func withFiles(t testing.TB, folder string, files map[string]string) *tokenizer.Tokenizer {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if text, ok := files[name]; ok {
			data, err = []byte(text), nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

var fallback = filepath.Join("..", "tokenizer", "testdata", "fallback")

// ofTurns makes the record of a conversation.
func ofTurns(turns ...tokenizer.Message) record.Record {
	r := record.Record{Line: 7}
	if turns[0].Role == "system" {
		r.System, turns = turns[0].Content, turns[1:]
	}
	last := len(turns) - 1
	for _, turn := range turns[:last-1] {
		r.Earlier = append(r.Earlier, record.Turn{Role: turn.Role, Content: turn.Content})
	}
	r.Instruction, r.Output = turns[last-1].Content, turns[last].Content
	return r
}

// The labels are those of transformers: its encoding of the conversation and of each prompt, and its mask of what
// {% generation %} marks (testdata/render/make_cases.py).
func TestCase8LabelsOfTransformers(t *testing.T) {
	file, err := os.Open(filepath.Join("testdata", "render", "cases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	toks := map[[2]string]*tokenizer.Tokenizer{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var c struct {
			Tokenizer, Template, Name string
			Every                     bool
			Messages                  []tokenizer.Message
			Prompt                    int
			IDs, Labels               []int32
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.Tokenizer+" "+c.Name, func(t *testing.T) {
			folder := fallback
			if c.Tokenizer == "phi35" {
				folder = phi35(t)
			}
			key := [2]string{c.Tokenizer, c.Template}
			if toks[key] == nil {
				toks[key] = withTemplate(t, folder, c.Template)
			}
			o := renderOptions{TrainOn: "last"}
			if c.Every {
				o.TrainOn = trainOnAssistant
			}
			d, err := newRenderer(toks[key], o)
			if err != nil {
				t.Fatal(err)
			}
			r := ofTurns(c.Messages...)
			s, err := d.sample(&r)
			if err != nil {
				t.Fatal(err)
			}
			if s.PromptLength != c.Prompt || !slices.Equal(s.InputIDs, c.IDs) || !slices.Equal(s.Labels, c.Labels) {
				t.Errorf("%v, every %t:\n got %d %v\n     %v\nwant %d %v\n     %v", c.Messages, c.Every, s.PromptLength, s.InputIDs, s.Labels,
					c.Prompt, c.IDs, c.Labels)
			}
		})
	}
}

// Encoding the conversation once gives what encoding the prompt and the conversation apart gives.
func TestPrefixesAreExact(t *testing.T) {
	tok := withTemplate(t, phi35(t), "")
	d, err := newRenderer(tok, renderOptions{FourClass: true, Thinking: true})
	if err != nil {
		t.Fatal(err)
	}
	records := demoRecords(t)
	for _, r := range records {
		r.System, r.Earlier = r.DomainLabel, []record.Turn{{Role: "user", Content: r.Output}, {Role: "assistant", Content: "<s> " + r.Output}}
		records = append(records, r)
	}
	for _, r := range records {
		s, err := d.sample(&r)
		if err != nil {
			t.Fatal(err)
		}
		prompt, _ := tok.ApplyChatTemplate(Prompt(r), true)
		whole, _ := tok.ApplyChatTemplate(append(Prompt(r), tokenizer.Message{Role: "assistant", Content: Assistant(r)}), false)
		first, all := tok.Encode(prompt), tok.Encode(whole)
		if !slices.Equal(s.InputIDs[:s.PromptLength], first) || !slices.Equal(s.InputIDs, all[:len(s.InputIDs)]) || !slices.Equal(all[:len(first)], first) {
			t.Fatalf("line %d: %v\nprompt %v\nwhole %v", r.Line, s.InputIDs, first, all)
		}
	}
}

// Workers share a renderer, its proofs among it.
func TestSampleConcurrently(t *testing.T) {
	d, err := newRenderer(withTemplate(t, fallback, ""), renderOptions{FourClass: true, Thinking: true})
	if err != nil {
		t.Fatal(err)
	}
	records := demoRecords(t)[:200]
	for i := range records {
		for range i % 7 {
			records[i].Earlier = append(records[i].Earlier, record.Turn{Role: []string{"user", "assistant"}[i%2], Content: "前の話"})
		}
	}
	var want []Sample
	for i := range records {
		s, err := d.sample(&records[i])
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, s)
	}
	if d, err = newRenderer(d.tok, d.renderOptions); err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for i := range records {
				if s, err := d.sample(&records[i]); err != nil || !reflect.DeepEqual(s, want[i]) {
					t.Errorf("line %d: %v, %v", i, s, err)
				}
			}
		})
	}
	workers.Wait()
}

// demoRecords are those of demo/data.
func demoRecords(t testing.TB) (records []record.Record) {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "demo", "data", "four_class_demo.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var r record.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		r.Line = int64(len(records) + 1)
		records = append(records, r)
	}
	if len(records) < 100 {
		t.Fatalf("only %d records", len(records))
	}
	return records
}

func BenchmarkSample(b *testing.B) {
	d, err := newRenderer(withTemplate(b, phi35(b), ""), renderOptions{FourClass: true, Thinking: true})
	if err != nil {
		b.Fatal(err)
	}
	records := demoRecords(b)
	size := 0
	for _, r := range records {
		size += len(r.Instruction) + len(r.Input) + len(r.Output)
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		for _, r := range records {
			if _, err := d.sample(&r); err != nil {
				b.Fatal(err)
			}
		}
	}
}
