package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
)

// judgeText finds out which JSON form a text has, or returns an error that says what the file is instead.
func (f *File) judgeText(head []byte) error {
	whole := len(head) < headSize
	switch {
	case bytes.HasPrefix(head, []byte("\xFF\xFE")):
		f.Encoding = "utf-16le"
	case bytes.HasPrefix(head, []byte("\xFE\xFF")):
		f.Encoding = "utf-16be"
	}
	if f.Encoding != "" {
		var err error
		if head, err = io.ReadAll(newTranscoder(bytes.NewReader(head), f.Encoding)); err != nil {
			return err
		}
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, byteOrderMark), " \t\r\n\x1E")
	if len(text) == 0 && whole {
		return errors.New("holds only white space")
	}
	if f.Encoding == "" {
		if what := encodingOf(text); what != "" {
			return errors.New(what)
		}
	}
	if what := textKind(text); what != "" {
		return errors.New(what)
	}
	return f.judgeJSON(text, whole)
}

// judgeJSON tells JSON lines from a JSON array and from values over several lines. A file is taken for JSON lines where
// that is possible, so that a line that is broken is counted as one.
func (f *File) judgeJSON(text []byte, whole bool) error {
	lines, objects := 0, 0
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if lines++; line[0] == '{' && line[len(line)-1] == '}' && jsontext.Value(line).IsValid(lax) {
			objects++
		}
	}
	first := firstValue(text)
	switch {
	case first.valid && text[0] == '[' && (!first.ended || first.only || objects == 0):
		f.Format, f.array = "json", true
		return nil
	case first.valid && text[0] == '{' && (first.lines > 1 || first.more):
		f.Format = "json"
	case objects > 0, !whole && lines <= 1 && first.valid && text[0] == '{', first.valid && text[0] == '{':
		f.Format = "jsonl"
	default:
		return errors.New(otherText(text, first.broken))
	}
	if first.only || !first.ended {
		if what := wrapper(text); what != "" {
			return errors.New(what)
		}
	}
	return nil
}

// lax reads what the record's reader refuses with a better word.
var lax = jsontext.AllowDuplicateNames(true)

// value describes a text's first JSON value, as far as the head of the file shows it.
type value struct {
	valid  bool  // so far
	ended  bool  // its end was reached
	lines  int   // it stretches over
	more   bool  // another value begins on the line where it ends
	only   bool  // nothing follows it
	broken int64 // the byte where it is not valid
}

func firstValue(text []byte) (v value) {
	d := jsontext.NewDecoder(bytes.NewReader(text), lax, jsontext.AllowInvalidUTF8(true))
	err := d.SkipValue()
	end := int(d.InputOffset())
	v.ended = err == nil
	if v.valid = v.ended || errors.Is(err, io.ErrUnexpectedEOF); !v.ended {
		end = len(text)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		v.broken = syntactic.ByteOffset
	}
	v.lines = 1 + bytes.Count(text[:end], []byte("\n"))
	rest, _, _ := bytes.Cut(text[end:], []byte("\n"))
	v.more = v.ended && bytes.HasPrefix(bytes.TrimSpace(rest), []byte("{"))
	v.only = v.ended && blank(text[end:])
	return v
}

var (
	yamlLine = regexp.MustCompile(`^(---|%YAML|- |[A-Za-z_][\w ]*:( |\r?$))`)
	htmlText = regexp.MustCompile(`(?i)^(<!doctype html|<html|<head|<body)`)
)

// textKind recognises texts by how they begin; empty for all others.
func textKind(text []byte) string {
	switch {
	case bytes.HasPrefix(text, []byte("version https://git-lfs.github.com/spec/")):
		return "is a git-lfs pointer, not the data: run git lfs pull"
	case htmlText.Match(text):
		return "is an HTML page: a download that answered with a page (of a login, or an error) instead of the data"
	case text[0] == '<' && len(text) > 1 && (text[1] == '?' || text[1] == '!' || text[1] >= 'A'):
		return "is XML: convert it to JSON lines"
	}
	return ""
}

// otherText describes a text without any JSON object. broken is the byte at which its JSON, if it begins like JSON, is invalid.
func otherText(text []byte, broken int64) string {
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	second, _, _ := bytes.Cut(rest, []byte("\n"))
	separators := func(c string) bool {
		n := bytes.Count(line, []byte(c))
		return n > 0 && (bytes.Count(second, []byte(c)) >= n || bytes.HasPrefix(second, []byte(`"`)) || bytes.Count(second, []byte(`"`))%2 == 1)
	}
	const convert = ": convert it to JSON lines, as with pandas.read_csv(…%s).to_json(…, orient='records', lines=True, force_ascii=False)"
	switch {
	case text[0] == '{':
		return fmt.Sprintf("is JSON that is broken at byte %d, and no line of it is a JSON object", broken)
	case text[0] == '[':
		return fmt.Sprintf("is a JSON array that is broken at byte %d", broken)
	case separators("\t"):
		return fmt.Sprintf("is a table with tabs (TSV), which is not read"+convert, ", sep='\\t'")
	case yamlLine.Match(line):
		return "is YAML: convert it to JSON lines"
	case separators(","), separators(";"):
		return fmt.Sprintf("is a table with commas (CSV), which is not read"+convert, "")
	case !utf8.Valid(text[:max(0, len(text)-utf8.UTFMax)]) && bytes.IndexByte(text, 0) >= 0:
		return "is a binary file of no kind that is read: records come as JSONL, JSON, Parquet or Arrow"
	}
	return "is text without a JSON object in it: records come as JSONL, JSON, Parquet or Arrow"
}

// encodingOf names the encoding of a text that is not UTF-8. It is empty for UTF-8, of which single lines may be damaged.
func encodingOf(text []byte) string {
	if bytes.Contains(text, []byte("\x1B$B")) || bytes.Contains(text, []byte("\x1B$@")) {
		return "is ISO-2022-JP: convert it with iconv -f ISO-2022-JP -t UTF-8"
	}
	if i := bytes.LastIndexByte(text, '\n'); i > 0 && len(text) >= headSize/2 {
		text = text[:i] // the last character may be cut
	}
	lines, other, invalid := 0, 0, 0
	for line := range bytes.Lines(text) {
		lines++
		if bytes.IndexFunc(line, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
			other++
		}
		if !utf8.Valid(line) {
			invalid++
		}
	}
	if invalid == 0 || 2*invalid <= other || 10*invalid < lines || bytes.IndexByte(text, 0) >= 0 {
		return ""
	}
	sjis, euc := japaneseText(text, japanese.ShiftJIS), japaneseText(text, japanese.EUCJP)
	switch {
	case sjis > euc:
		return "is Shift_JIS: convert it with iconv -f CP932 -t UTF-8"
	case euc > 0:
		return "is EUC-JP: convert it with iconv -f EUC-JP -t UTF-8"
	}
	return "is not UTF-8 (Windows-1252, or another old encoding): convert it with iconv -f ENCODING -t UTF-8"
}

// japaneseText scores how much a text reads like Japanese when it is decoded: by its kana and kanji; 0 for no Japanese.
func japaneseText(text []byte, e encoding.Encoding) int {
	decoded, err := e.NewDecoder().Bytes(text)
	if err != nil {
		return 0
	}
	wrong, kana, kanji := 0, 0, 0
	for _, r := range string(decoded) {
		switch {
		case r == utf8.RuneError, r >= 0xFF61 && r <= 0xFF9F: // half-width kana: what EUC-JP looks like in Shift_JIS
			wrong++
		case r >= 0x3040 && r <= 0x30FF:
			kana++
		case r >= 0x4E00 && r <= 0x9FFF:
			kanji++
		}
	}
	if score := 4*kana + kanji - 8*wrong; kana > 0 && score > 0 {
		return score
	}
	return 0
}
