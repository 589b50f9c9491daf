package jinja

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
)

// modelTemplate is one of testdata/models.jsonl.
func modelTemplate(t testing.TB, name string) *Template {
	t.Helper()
	f, err := os.Open("testdata/models.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var m struct{ Name, Template string }
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		if m.Name == name {
			template, err := Parse(m.Template)
			if err != nil {
				t.Fatal(err)
			}
			return template
		}
	}
	t.Fatalf("no template %s", name)
	return nil
}

func BenchmarkRender(b *testing.B) {
	for _, name := range []string{"phi3", "llama31", "qwen3"} {
		template := modelTemplate(b, name)
		variables := map[string]any{"bos_token": "<s>", "eos_token": "<|endoftext|>", "add_generation_prompt": false, "tools": nil,
			"messages": []any{Dict{{"role", "user"}, {"content", "質問です。"}}, Dict{{"role", "assistant"}, {"content", "答えです。"}}}}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := template.Render(variables, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
