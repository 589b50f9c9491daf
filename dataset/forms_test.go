package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"so8t/dataset/record"
	"so8t/policy"
)

// eachSample calls yield with the samples of train, val and test.
func eachSample(t testing.TB, o SplitOptions, yield func(part string, s Sample)) {
	t.Helper()
	for _, name := range partNames {
		s, err := Open(filepath.Join(o.Dir, name+".arrow"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i := range s.Len() {
			yield(name, s.At(i))
		}
	}
}

func withPolicy(t testing.TB, change func(*policy.Options)) *policy.Policy {
	t.Helper()
	o := policy.Default()
	change(&o)
	p, err := policy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The number of threads changes nothing, in the files or in the report.
func TestThreadsChangeNoByte(t *testing.T) {
	lines := mixedLines(t, 6000)
	var want map[string]string
	for _, threads := range []int{1, 2, 5} {
		dir := resumeDir(t, lines)
		o, err := resumable(dir, smallTokenizer(t))
		if err != nil {
			t.Fatal(err)
		}
		o.Threads = threads
		m := mustSplit(t, o)
		if m.Bad == 0 || m.TooLong == 0 || len(m.Removed) == 0 {
			t.Fatalf("nothing is left out: %+v", m)
		}
		if want == nil {
			want = splitFiles(t, dir)
		} else {
			wantSame(t, splitFiles(t, dir), want)
		}
	}
}

// The Arrow files depend on the samples and their order, not on the form that they came in.
func TestFormsGiveTheSameBytes(t *testing.T) {
	const n = 3000
	rows := make([]map[string]any, n)
	for i := range rows {
		rows[i] = example(i)
	}
	lines := func(of func(r map[string]any) map[string]any) []byte {
		var b bytes.Buffer
		for _, r := range rows {
			b.WriteString(jsonLine(t, of(r)) + "\n")
		}
		return b.Bytes()
	}
	same := func(r map[string]any) map[string]any { return r }
	plain := lines(same)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(plain); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	spaced := "\n" + strings.Join(strings.Split(jsonLine(t, rows), "},{"), "}\n,\n{")
	stream, file := asArrow(t, rows)
	others := map[string][]byte{
		"parquet": asParquet(t, rows), "arrow": file, "arrow stream": stream, "arrow in zstd": asZstd(t, file),
		"utf-16": asUTF16(string(plain)), "zstd": asZstd(t, plain),
		"array": []byte(jsonLine(t, rows)), "array over lines": []byte(spaced), "gzip": zipped.Bytes(),
		"messages": lines(func(r map[string]any) map[string]any {
			return map[string]any{"four_class_label": r["four_class_label"], "domain_label": r["domain_label"], "messages": []map[string]any{
				{"role": "user", "content": r["instruction"]}, {"role": "assistant", "content": r["output"]}}}
		}),
		"prompt_completion": lines(func(r map[string]any) map[string]any {
			return map[string]any{"prompt": r["instruction"], "completion": r["output"], "four_class_label": r["four_class_label"],
				"domain_label": r["domain_label"], "url_of_origin": "x"}
		}),
	}
	o := options(t, records(t, 0, n))
	want := mustSplit(t, o)
	for name, data := range others {
		t.Run(name, func(t *testing.T) {
			o := options(t, nil)
			if err := os.WriteFile(o.Paths[0], data, 0o600); err != nil {
				t.Fatal(err)
			}
			m := mustSplit(t, o)
			if m.Train.SHA256 != want.Train.SHA256 || m.Val.SHA256 != want.Val.SHA256 || m.Test.SHA256 != want.Test.SHA256 {
				t.Errorf("other bytes: %+v", m)
			}
		})
	}
}

type parquetRow struct {
	Instruction string `parquet:"instruction,plain"`
	Input       string `parquet:"input,plain"`
	Output      string `parquet:"output,plain"`
	Label       string `parquet:"four_class_label,plain"`
	Domain      string `parquet:"domain_label,plain"`
}

func asParquet(t *testing.T, rows []map[string]any) []byte {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b)
	for _, r := range rows {
		row := parquetRow{r["instruction"].(string), r["input"].(string), r["output"].(string), r["four_class_label"].(string), r["domain_label"].(string)}
		if _, err := w.Write([]parquetRow{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// asArrow writes a stream, as the datasets library does, and a file, whose stream this writer does not end.
func asArrow(t *testing.T, rows []map[string]any) (stream, file []byte) {
	var fields []arrow.Field
	names := []string{"instruction", "input", "output", "four_class_label", "domain_label"}
	for _, name := range names {
		fields = append(fields, arrow.Field{Name: name, Type: arrow.BinaryTypes.String})
	}
	schema := arrow.NewSchema(fields, nil)
	batch := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer batch.Release()
	for _, r := range rows {
		for i, name := range names {
			batch.Field(i).(*array.StringBuilder).Append(r[name].(string))
		}
	}
	record := batch.NewRecord()
	defer record.Release()
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(schema))
	path := filepath.Join(t.TempDir(), "file.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	fw, err := ipc.NewFileWriter(f, ipc.WithSchema(schema))
	if err == nil {
		err = errors.Join(w.Write(record), w.Close(), fw.Write(record), fw.Close(), f.Close())
	}
	if err == nil {
		file, err = os.ReadFile(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), file
}

func asUTF16(text string) []byte {
	b := []byte{0xFF, 0xFE}
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

func asZstd(t *testing.T, data []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func TestSeveralFiles(t *testing.T) {
	o := options(t, records(t, 0, 150))
	second := filepath.Join(filepath.Dir(o.Paths[0]), "b.jsonl")
	writeLines(t, second, append(records(t, 150, 300), "{}"))
	o.Paths = append(o.Paths, second)
	m := mustSplit(t, o)
	r := readReport(t, o)
	bad := BadLine{1, 151, record.MissingField, r.BadLines[0].Detail}
	if m.Lines != 301 || len(m.Inputs) != 2 || m.Inputs[1].Path != second || !slices.Equal(r.BadLines, []BadLine{bad}) {
		t.Errorf("manifest %+v, bad %v", m, r.BadLines)
	}
	seen := map[string]bool{}
	eachSample(t, o, func(part string, s Sample) {
		seen[fmt.Sprint(s.SourceFile, s.SourceLine)] = true
		if s.SourceLine > 150 || s.SourceFile > 1 {
			t.Errorf("%+v", s)
		}
	})
	if len(seen) != 300 {
		t.Errorf("%d places", len(seen))
	}
	one := options(t, append(records(t, 0, 300), "{}"))
	if n := mustSplit(t, one); n.DatasetDigest == m.DatasetDigest || n.Identity() == m.Identity() || n.Train.Samples != m.Train.Samples {
		t.Errorf("one file: %+v", n)
	}
	o.Paths = []string{o.Paths[1], o.Paths[0]}
	if n := mustSplit(t, o); n.Reused {
		t.Error("another order is another input")
	}
}

func TestWithoutLabels(t *testing.T) {
	var lines []string
	for i := range 300 {
		lines = append(lines, jsonLine(t, map[string]any{"question": fmt.Sprint("質問 ", i), "answer": fmt.Sprint("答え ", i)}))
	}
	o := options(t, lines)
	o.Records, o.QuadrupleThinking = record.Options{}, false
	m := mustSplit(t, o)
	if m.Train.Samples+m.Val.Samples+m.Test.Samples != 300 || len(m.Train.PerLabel) > 0 {
		t.Errorf("%+v", m)
	}
	eachSample(t, o, func(part string, s Sample) {
		if s.Label != "" {
			t.Errorf("%+v", s)
		}
	})
	for _, note := range readReportPointer(t, o).Notes("r") {
		if strings.Contains(note, "is left in") {
			t.Errorf("note %q", note)
		}
	}
	o.QuadrupleThinking = true
	if _, err := Split(context.Background(), o); err == nil {
		t.Error("the quadruple form without labels was accepted")
	}
}

func readReportPointer(t testing.TB, o SplitOptions) *Report {
	t.Helper()
	r, err := ReadReport(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Check says what Split says, and leaves nothing.
func TestCheck(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	lines := mixedLines(t, 2000)
	o, err := resumable(resumeDir(t, lines), smallTokenizer(t))
	if err != nil {
		t.Fatal(err)
	}
	m, r, err := Check(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 || len(fileNames(t, filepath.Dir(o.Paths[0]))) != 1 {
		t.Errorf("left behind: %v", left)
	}
	n := mustSplit(t, o)
	if written := readReportPointer(t, o); !reflect.DeepEqual(written.Parts, r.Parts) || !reflect.DeepEqual(written.Notes(""), r.Notes("")) {
		t.Errorf("check %+v\nsplit %+v", r, written)
	}
	m.Train.Bytes, m.Train.SHA256 = n.Train.Bytes, n.Train.SHA256
	if !reflect.DeepEqual(m.Train, n.Train) {
		t.Errorf("check %+v\nsplit %+v", m.Train, n.Train)
	}
	o.Tokenizer = nil
	_, bare, err := Check(t.Context(), o)
	if err != nil || bare.Bad != r.Bad || bare.Removed["pii:email"] != r.Removed["pii:email"] || bare.Duplicates == 0 || bare.TooLong != 0 ||
		bare.Parts["train"].Samples == 0 || bare.Parts["train"].Tokens != 0 {
		t.Errorf("without a tokenizer: %v, %+v", err, bare)
	}
	o.MaxBadFraction = 0
	if _, r, err := Check(t.Context(), o); err == nil || r == nil || !strings.Contains(err.Error(), "max_bad_fraction") {
		t.Errorf("refused data: %v, %v", r, err)
	}
	if _, err := Split(t.Context(), o); err == nil {
		t.Error("split without a tokenizer")
	}
}
