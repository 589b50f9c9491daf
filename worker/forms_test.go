package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"so8t/configs"
)

// flat is a record of the demo without an input, so that every form can say it.
type flat struct {
	Instruction string `json:"instruction" parquet:"instruction"`
	Output      string `json:"output" parquet:"output"`
	Label       string `json:"four_class_label" parquet:"four_class_label"`
	Domain      string `json:"domain_label" parquet:"domain_label"`
	Safety      string `json:"safety_label" parquet:"safety_label"`
}

// TestFormsAreTrained trains the same records in every form, compression and encoding, end to end, to the same adapter.
// It takes minutes: make forms.
func TestFormsAreTrained(t *testing.T) {
	if os.Getenv("SO8T_FORMS") == "" {
		t.Skip("SO8T_FORMS is not set")
	}
	c := newCluster(t)
	worker := c.work()
	var records []flat
	for _, line := range strings.Split(strings.TrimSpace(string(must(os.ReadFile(c.dataset)))), "\n") {
		var r flat
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	want := ""
	for _, f := range filesOf(t, records) {
		path := filepath.Join(t.TempDir(), f.name)
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			t.Fatal(err)
		}
		set := map[string]any{"data.input_path": path, "training.num_train_epochs": 1}
		maps.Copy(set, f.set)
		run, _ := c.start("form-"+strings.ReplaceAll(f.name, ".", "-"), set)
		got := c.finish(run, worker)
		if want == "" {
			want = got.Export.AdapterSHA256
		}
		if got.Export.AdapterSHA256 != want || got.Compare.Verdict == "" {
			t.Errorf("%s: adapter %.12s, verdict %q; the first form's adapter is %.12s", f.name, got.Export.AdapterSHA256, got.Compare.Verdict, want)
		}
		t.Logf("%-28s adapter %.12s", f.name, got.Export.AdapterSHA256)
	}
}

type file struct {
	name string
	data []byte
	set  map[string]any // keys beside data.input_path
}

// filesOf writes the records in every form of a record as JSONL, and in every kind of file, compression and encoding.
func filesOf(t *testing.T, records []flat) (files []file) {
	t.Helper()
	forms := []struct {
		name string
		of   func(flat) any
	}{
		{"alpaca", func(r flat) any { return r }},
		{"messages", func(r flat) any { return labelled(r, "messages", turns("role", "content", r, "user", "assistant")) }},
		{"sharegpt", func(r flat) any { return labelled(r, "conversations", turns("from", "value", r, "human", "gpt")) }},
		{"prompt_completion", func(r flat) any { return labelled(r, "prompt", r.Instruction, "completion", r.Output) }},
		{"question_answer", func(r flat) any { return labelled(r, "question", r.Instruction, "answer", r.Output) }},
	}
	var plain []byte
	for _, form := range forms {
		var lines bytes.Buffer
		for _, r := range records {
			lines.Write(append(must(json.Marshal(form.of(r))), '\n'))
		}
		files = append(files, file{name: form.name + ".jsonl", data: lines.Bytes()})
		if plain == nil {
			plain = lines.Bytes()
		}
	}
	files = append(files, published(t, records))
	kinds := []file{
		{name: "array.json", data: must(json.MarshalIndent(records, "", "  "))},
		{name: "utf8-mark.jsonl", data: append([]byte("\ufeff"), plain...)},
		{name: "utf16le.jsonl", data: inUTF16(string(plain), func(u uint16) []byte { return []byte{byte(u), byte(u >> 8)} })},
		{name: "utf16be.jsonl", data: inUTF16(string(plain), func(u uint16) []byte { return []byte{byte(u >> 8), byte(u)} })},
		{name: "rows.parquet", data: asParquet(t, records)},
		{name: "rows.arrow", data: asArrow(t, records)},
	}
	for _, k := range append([]file{{name: "alpaca.jsonl", data: plain}}, kinds...) {
		if k.name != "alpaca.jsonl" {
			files = append(files, k)
		}
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		must(w.Write(k.data))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		files = append(files, file{name: k.name + ".gz", data: b.Bytes()}, file{name: k.name + ".zst", data: must(zstd.NewWriter(nil)).EncodeAll(k.data, nil)})
	}
	return files
}

// published is the shape of the published pipeline's records, with the mapping of its configuration.
func published(t *testing.T, records []flat) file {
	t.Helper()
	config := must(configs.Load("../configs/retrain_published_four_class.yaml", nil))
	var lines bytes.Buffer
	for i, r := range records {
		record := map[string]any{
			"text": r.Instruction, "output": r.Output, "title": "題", "url": fmt.Sprintf("https://data.example.jp/%d", i), "domain": r.Domain,
			"nsfw_label": "safe", "safety_label": r.Safety, "four_class_label_id": i % 4,
			"quadruple_classification": map[string]string{"four_class_label": r.Label},
		}
		lines.Write(append(must(json.Marshal(record)), '\n'))
	}
	return file{"published.jsonl", lines.Bytes(), map[string]any{"data.columns": config.Data.Columns}}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// labelled is a record of the labels of r and further keys.
func labelled(r flat, pairs ...any) map[string]any {
	m := map[string]any{"four_class_label": r.Label, "domain_label": r.Domain, "safety_label": r.Safety}
	for i := 0; i < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m
}

func turns(role, content string, r flat, user, assistant string) []map[string]string {
	return []map[string]string{{role: user, content: r.Instruction}, {role: assistant, content: r.Output}}
}

func inUTF16(text string, unit func(uint16) []byte) (out []byte) {
	for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
		out = append(out, unit(u)...)
	}
	return out
}

func asParquet(t *testing.T, records []flat) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[flat](&b)
	must(w.Write(records))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asArrow(t *testing.T, records []flat) []byte {
	t.Helper()
	var fields []arrow.Field
	for _, name := range []string{"instruction", "output", "four_class_label", "domain_label", "safety_label"} {
		fields = append(fields, arrow.Field{Name: name, Type: arrow.BinaryTypes.String})
	}
	schema := arrow.NewSchema(fields, nil)
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for _, r := range records {
		for i, text := range []string{r.Instruction, r.Output, r.Label, r.Domain, r.Safety} {
			rows.Field(i).(*array.StringBuilder).Append(text)
		}
	}
	path := filepath.Join(t.TempDir(), "rows.arrow")
	f := must(os.Create(path))
	w := must(ipc.NewFileWriter(f, ipc.WithSchema(schema)))
	for _, err := range []error{w.Write(rows.NewRecord()), w.Close(), f.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return must(os.ReadFile(path))
}
