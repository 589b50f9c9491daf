package source

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// wrapper describes a file that is one JSON object with the records in a list below a key; empty if the object is a record.
// Such a file is refused with the name of the key: only its owner knows which of several lists is meant.
func wrapper(text []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(text), lax, jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return ""
	}
	var lists []string
	for {
		t, err := d.ReadToken()
		if err != nil || t.Kind() != '"' {
			break
		}
		key := t.String()
		at := d.InputOffset()
		kind := d.PeekKind()
		if kind != '{' && slices.Contains(recordKeys, key) {
			return ""
		}
		// A list that stretches beyond what was read has begun all the same.
		err = d.SkipValue()
		value := bytes.TrimLeft(text[at:], ": \t\r\n")
		switch {
		case kind == '[' && holdsRecords(value):
			lists = append(lists, key)
		case kind == '{' && bytes.HasPrefix(bytes.TrimLeft(value[1:], " \t\r\n"), []byte(`"0"`)):
			return fmt.Sprintf("holds a table by columns (%.40q: {\"0\": …): write it with pandas' to_json(…, orient='records', lines=True)", key)
		}
		if err != nil {
			break
		}
	}
	if len(lists) == 0 {
		return ""
	}
	for _, usual := range []string{"rows", "data", "train", "records"} {
		if slices.Contains(lists, usual) {
			lists[0] = usual
			break
		}
	}
	path := fmt.Sprintf(".[%q][]", lists[0])
	if lists[0] == "rows" && bytes.Contains(text, []byte(`"row_idx"`)) {
		path = ".rows[].row" // of Hugging Face's datasets-server
	}
	return fmt.Sprintf("is one JSON object whose key %.40q holds the records: take them out with jq -c '%.60s'", lists[0], path)
}

// recordKeys are keys of a record: an object that has one is no wrapper, whatever lists it has besides.
var recordKeys = []string{"instruction", "messages", "conversations", "prompt", "question", "text", "input", "output"}

// turnKeys are keys of a turn of a conversation: a list of such objects is part of a record.
var turnKeys = []string{"role", "from", "content", "value", "type"}

// holdsRecords reports whether a list's first element is an object that is no turn.
func holdsRecords(list []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(list), lax, jsontext.AllowInvalidUTF8(true))
	for range 2 { // [ and {
		if _, err := d.ReadToken(); err != nil {
			return false
		}
	}
	if kind, _ := d.StackIndex(d.StackDepth()); kind != '{' {
		return false
	}
	for {
		t, err := d.ReadToken()
		if err != nil || t.Kind() != '"' {
			return true
		}
		if slices.Contains(turnKeys, t.String()) {
			return false
		}
		if d.SkipValue() != nil {
			return true
		}
	}
}
