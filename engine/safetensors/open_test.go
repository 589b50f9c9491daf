package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// image is a file with the given header text and number of data bytes.
func image(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

// refusals maps what is wrong to a part of what must be said about it.
var refusals = []struct {
	want  string
	image []byte
}{
	{`a header length needs 8`, []byte{1, 2, 3}},
	{`above the format's bound`, bytes.Repeat([]byte{0xff}, 16)},
	{`header needs bytes 8..108, file has 10`, append(binary.LittleEndian.AppendUint64(nil, 100), "{}"...)},
	{`does not begin with {`, image(``, 0)},
	{`does not begin with {`, image(` {}`, 0)},
	{`does not begin with {`, image(`[]`, 0)},
	{`not UTF-8`, image("{\"\xff\":1}", 0)},
	{`text after the closing brace`, image(`{}{}`, 0)},
	{`unexpected EOF`, image(`{"a":`, 0)},
	{`"a" appears twice`, image(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2)},
	{`"k" appears twice`, image(`{"__metadata__":{"k":"1","k":"2"}}`, 0)},
	{`want a string, have 1`, image(`{"__metadata__":{"k":1}}`, 0)},
	{`"dtype" appears twice`, image(`{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)},
	{`tensor "a": extra: no such field`, image(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"extra":1}}`, 1)},
	{`tensor "a": needs dtype, shape`, image(`{"a":{"dtype":"U8","shape":[1]}}`, 1)},
	{`tensor "a": element type "F4" is not`, image(`{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}`, 1)},
	{`-1 is not a size`, image(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, 1)},
	{`1e0 is not a size`, image(`{"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}`, 1)},
	{`<nil> is not a size`, image(`{"a":{"dtype":"U8","shape":[null],"data_offsets":[0,1]}}`, 1)},
	{`99999999999999999999 is not a size`, image(`{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}}`, 1)},
	{`want 2 offsets, have 3`, image(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, 1)},
	{`overflows`, image(`{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,1]}}`, 1)},
	{`overflows`, image(`{"a":{"dtype":"I64","shape":[4611686018427387904],"data_offsets":[0,0]}}`, 0)},
	{`tensor "a": F32 [2] takes 8 bytes, its offsets say 0..4`, image(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4)},
	{`its offsets say 4..0`, image(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[4,0]}}`, 4)},
	{`tensor "b" at data bytes 1..3 overlaps tensor "a"`,
		image(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3)},
	{`data bytes 1..2 before tensor "b" belong to no tensor`,
		image(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3)},
	{`last tensor ends at byte 65, file has 66`, image(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}  `, 3)},
	{`tensor "a" needs bytes 63..65, file has 64`, image(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}  `, 1)},
	{`tensor "a" needs bytes`, image(`{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}`, 1)},
}

func TestRefuses(t *testing.T) {
	for _, c := range refusals {
		path := filepath.Join(t.TempDir(), "bad.safetensors")
		if err := os.WriteFile(path, c.image, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		var format *FormatError
		if err == nil {
			f.Close()
		}
		if !errors.As(err, &format) || format.Path != path || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want a FormatError with %q, have %v", c.want, err)
		}
	}
}

func TestOpenRefusesOddFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("folder: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	empty := filepath.Join(dir, "empty")
	os.WriteFile(empty, nil, 0o644)
	if _, err := Open(empty); err == nil || !strings.Contains(err.Error(), "file is empty") {
		t.Errorf("empty: %v", err)
	}
}

// A model of two shards, for tests that damage it.
func shardedModel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	w, err := NewShardedWriter(dir, []Spec{{"a", F32, []int64{64}}, {"b", F32, []int64{64}}}, nil, 256)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range w.Order() {
		if err := w.Append(s.Name, make([]byte, 256)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpenModelRefuses(t *testing.T) {
	index := func(text string) func(string) {
		return func(dir string) { os.WriteFile(filepath.Join(dir, IndexName), []byte(text), 0o644) }
	}
	for _, c := range []struct {
		want   string
		damage func(dir string)
	}{
		{`model-00002-of-00002.safetensors (1 tensors, "b" the first) is missing`, func(dir string) {
			os.Remove(filepath.Join(dir, "model-00002-of-00002.safetensors"))
		}},
		{`model-00001-of-00002.safetensors: tensor "a" needs bytes 72..328, file has 100`, func(dir string) {
			os.Truncate(filepath.Join(dir, "model-00001-of-00002.safetensors"), 100)
		}},
		{`holds neither model.safetensors nor`, func(dir string) { os.Remove(filepath.Join(dir, IndexName)) }},
		{`tensor "x" is not here`, index(`{"weight_map":{"a":"model-00001-of-00002.safetensors","x":"model-00002-of-00002.safetensors"}}`)},
		{`is not a file name`, index(`{"weight_map":{"a":"../model-00001-of-00002.safetensors"}}`)},
		{`is not a file name`, index(`{"weight_map":{"a":".."}}`)},
		{`"a" appears twice`, index(`{"weight_map":{"a":"model-00001-of-00002.safetensors","a":"model-00002-of-00002.safetensors"}}`)},
		{`names no tensor`, index(`{"metadata":{"total_size":1}}`)},
		{`index.json: `, index(`{"weight_map":`)},
	} {
		dir := shardedModel(t)
		c.damage(dir)
		if _, err := OpenModel(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error with %q, have %v", c.want, err)
		}
	}
}
