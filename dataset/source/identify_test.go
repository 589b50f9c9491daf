package source

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

const good = `{"instruction":"社外秘の資料を読めますか","output":"いいえ、お答えできません","four_class_label":"DENY"}` + "\n"

// TestCase17OtherFiles gives files that are no records: each is told what it is and what to do.
func TestCase17OtherFiles(t *testing.T) {
	sjis, _ := japanese.ShiftJIS.NewEncoder().String(strings.Repeat(good, 20))
	euc, _ := japanese.EUCJP.NewEncoder().String(strings.Repeat(good, 20))
	jis, _ := japanese.ISO2022JP.NewEncoder().String(good)
	latin, _ := charmap.Windows1252.NewEncoder().String(strings.Repeat(`{"instruction":"où est l'été"}`+"\n", 9))
	parquet, _ := os.ReadFile("testdata/forms/zstd.parquet")
	arrow, _ := os.ReadFile("testdata/forms/file.arrow")
	stream, _ := os.ReadFile("testdata/forms/stream.arrow")
	zipped := compressions["gzip"]([]byte(strings.Repeat(good, 9)))
	zs := compressions["zstd"]([]byte(strings.Repeat(good, 9)))
	for name, c := range map[string]struct{ content, want string }{
		"shift_jis":       {sjis, "iconv -f CP932 -t UTF-8"},
		"euc-jp":          {euc, "iconv -f EUC-JP -t UTF-8"},
		"iso-2022-jp":     {jis, "iconv -f ISO-2022-JP -t UTF-8"},
		"windows-1252":    {latin, "is not UTF-8"},
		"sjis in gzip":    {string(compressions["gzip"]([]byte(sjis))), "iconv -f CP932"},
		"utf-16 no mark":  {string(utf16Of(good, 0)), "UTF-16 without a byte order mark: convert it with iconv -f UTF-16LE"},
		"utf-16be":        {string(utf16Of(good, 1)), "iconv -f UTF-16BE"},
		"utf-32":          {"\xFF\xFE\x00\x00{\x00\x00\x00", "UTF-32"},
		"utf-32 no mark":  {"{\x00\x00\x00\"\x00\x00\x00", "UTF-32"},
		"git-lfs":         {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "run git lfs pull"},
		"html":            {"\n<!DOCTYPE html>\n<html><body>Sign in</body>", "is an HTML page: a download that"},
		"html 2":          {"<html lang=\"en\">", "is an HTML page"},
		"xml":             {"<?xml version=\"1.0\"?><a/>", "is XML"},
		"csv":             {"instruction,output\nはい,いいえ\n", "(CSV), which is not read: convert it"},
		"csv, quoted":     {"\"instruction\",\"output\"\n\"a, b\",\"c\"\n", "(CSV)"},
		"tsv":             {"instruction\toutput\na\tb\n", "(TSV), which is not read"},
		"yaml":            {"- instruction: a\n  output: b\n", "is YAML"},
		"yaml 2":          {"---\na: b\n", "is YAML"},
		"text":            {"Once upon a time\nthere was a model\n", "is text without a JSON object in it"},
		"no object":       {"{\"a\":\n{{{\n", "no line of it is a JSON object"},
		"broken array":    {"[{]", "is a JSON array that is broken at byte 2"},
		"zip":             {"PK\x03\x04\x14\x00\x00\x00", "ZIP archive"},
		"xz":              {"\xFD7zXZ\x00\x00", "xz -d"},
		"bzip2":           {"BZh91AY&SY", "bunzip2"},
		"lz4":             {"\x04\x22\x4D\x18", "lz4 -d"},
		"7z":              {"7z\xBC\xAF\x27\x1C", "7z archive"},
		"pdf":             {"%PDF-1.7", "is a PDF"},
		"sqlite":          {"SQLite format 3\x00", "SQLite"},
		"pickle":          {"\x80\x04\x95\x00\x00", "pickle"},
		"safetensors":     {"\x10\x00\x00\x00\x00\x00\x00\x00{\"__metadata__\":{}}", "safetensors"},
		"tar":             {strings.Repeat("a", 257) + "ustar" + strings.Repeat("\x00", 300), "tar archive"},
		"zeros":           {strings.Repeat("\x00", 500), "only zero bytes"},
		"white space":     {" \n\n\t", "only white space"},
		"mark only":       {"\uFEFF", "only white space"},
		"gzip in gzip":    {string(compressions["gzip"](zipped)), "gzip within gzip"},
		"empty gzip":      {string(compressions["gzip"](nil)), "is empty once decompressed"},
		"cut gzip":        {string(zipped[:len(zipped)/4]), "is cut off"},
		"cut zstd":        {string(zs[:len(zs)/3]), "is cut off"},
		"cut parquet":     {string(parquet[:len(parquet)-100]), "the Parquet footer is missing"},
		"PAR1 alone":      {"PAR1", "is cut off"},
		"cut arrow":       {string(arrow[:len(arrow)-100]), "the Arrow footer is missing"},
		"cut stream":      {string(stream[:40]), "is cut off"},
		"data":            {`{"version":1,"data":[` + strings.TrimSpace(good) + `]}`, "\"data\" holds the records: take them out with jq -c '.[\"data\"][]'"},
		"pretty data":     {"{\n  \"train\": [\n    " + good + "  ]\n}\n", "key \"train\""},
		"datasets-server": {`{"features":[{"name":"a"}],"rows":[{"row_idx":0,"row":{"a":1}}]}`, "jq -c '.rows[].row'"},
		"long data":       {`{"data":[` + strings.Repeat(strings.TrimSpace(good)+",", 4000), "key \"data\""},
		"pandas' columns": {`{"instruction":{"0":"a","1":"b"},"output":{"0":"c"}}`, "table by columns"},
	} {
		path := write(t, "data.jsonl", []byte(c.content))
		_, err := Open([]string{path})
		var refused *Error
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), path) != 1 ||
			strings.ContainsAny(err.Error(), "\n\r") || len(err.Error())-len(path) > 300 {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	pipe, empty := filepath.Join(dir, "pipe"), filepath.Join(dir, "empty")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{pipe: "no regular file", dir: "is a folder", empty: "is empty", os.DevNull: "no regular file",
		filepath.Join(dir, "none"): "no such file"} {
		done := make(chan error, 1)
		go func() { _, err := Open([]string{path}); done <- err }()
		select {
		case err := <-done:
			var refused *Error
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", path, err, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is waited for", path)
		}
	}
}

// TestBadLinesStayLines: a file with lines that are broken is read; they are for the record's reader to count.
func TestBadLinesStayLines(t *testing.T) {
	line := strings.TrimSpace(good)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"broken first":        {`{"instruction":"a` + "\n" + good, []string{`{"instruction":"a`, line}},
		"broken first, valid": {`{"a":1,` + "\n" + good + good, []string{`{"a":1,`, line, line}},
		"word first":          {"# records\n" + good, []string{"# records", line}},
		"array first":         {"[]\n" + good, []string{"[]", line}},
		"one byte is wrong":   {good + "{\"a\":\"\xff\"}\n" + good, []string{line, "{\"a\":\"\xff\"}", line}},
		"marks in the middle": {"\uFEFF" + good + "\uFEFF" + good, []string{line, line}},
		"a record of turns":   {`{"messages":[{"role":"user","content":"u"}]}`, []string{`{"messages":[{"role":"user","content":"u"}]}`}},
		"a record of lists":   {`{"text":"a","sources":[{"title":"b"}]}`, []string{`{"text":"a","sources":[{"title":"b"}]}`}},
		"values":              {`[1,"a]",null,{"b":[1]} , [2]]`, []string{"1", `"a]"`, "null", `{"b":[1]}`, "[2]"}},
		"empty array":         {"[ ]", nil},
		"too long":            {good + strings.Repeat("x", maxRow) + "\n" + good, []string{line, "line_too_long", line}},
		"too long in array":   {"[" + line + `,"` + strings.Repeat("x", maxRow) + `",` + line + "]", []string{line, "line_too_long", line}},
	} {
		if got := rowsOf(t, write(t, "x", []byte(c.text))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %.200q, want %.200q", name, got, c.want)
		}
	}
}

// TestDamageIsToldByFile: what is found only while reading is one line that names the file as well.
func TestDamageIsToldByFile(t *testing.T) {
	line := strings.TrimSpace(good)
	many := strings.Repeat(line+",", 3000) // more than Open looks at
	big := bytes.Repeat([]byte(good), 9000)
	for i := range big {
		big[i] ^= byte(i/999) & 1 // hard to compress, and cut behind what Open looks at
	}
	zipped := compressions["gzip"](bytes.ReplaceAll(big, []byte("\n"), []byte("\n"+good)))
	for name, c := range map[string]struct{ text, want string }{
		"no comma":       {"[" + many + line + " " + line + "]", "a comma was expected"},
		"more follows":   {"[" + line + "] {}", "more text follows the array"},
		"no end":         {"[" + many, "is cut off"},
		"no end of last": {"[" + line + ",{\"a\":", "is cut off"},
		"two commas":     {"[" + many + "," + line + "]", "a record was expected"},
		"cut gzip":       {string(zipped[:len(zipped)-9]), "is cut off"},
	} {
		path := write(t, "x", []byte(c.text))
		_, err := blocks([]string{path}, Position{})
		var damaged *Error
		if !errors.As(err, &damaged) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestUnchanged(t *testing.T) {
	path := write(t, "x.jsonl", []byte(good))
	in, err := Open([]string{path})
	if err != nil || in.Unchanged() != nil || in.Digest(t.Context()) != nil || len(in.Files[0].SHA256) != 64 {
		t.Fatal(err, in.Unchanged())
	}
	info, _ := os.Stat(path)
	other := path + ".other"
	err = errors.Join(os.WriteFile(other, []byte(good), 0o600), os.Chtimes(other, info.ModTime(), info.ModTime()), os.Rename(other, path))
	if err != nil {
		t.Fatal(err)
	}
	var changed *Error
	if err := in.Unchanged(); !errors.As(err, &changed) { // of the same size and time, but another file
		t.Errorf("replaced: %v", err)
	}
}
