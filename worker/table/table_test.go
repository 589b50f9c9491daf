package table

import (
	"bytes"
	"testing"
)

func TestTable(t *testing.T) {
	var got bytes.Buffer
	var list Table
	list.Row("列", "records", "")
	list.Row("アイウ", int64(1234567), "x")
	list.Row("e\u0301", int64(-1000), "bell\a\u202e")
	list.Print(&got)
	const want = "  列        records\n  アイウ  1,234,567  x\n  e\u0301          -1,000  bell··\n"
	if got.String() != want {
		t.Errorf("%q\n%q", got.String(), want)
	}
}
