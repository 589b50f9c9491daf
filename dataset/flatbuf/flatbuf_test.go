package flatbuf

import (
	"encoding/binary"
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
)

// build writes a table: 0 a text, 1 a vector of two structs of 8 bytes, 2 a table like it of a text alone, 3 a vector of
// that table, twice, 4 nothing.
func build() []byte {
	b := flatbuffers.NewBuilder(0)
	text := func(s string) flatbuffers.UOffsetT {
		at := b.CreateString(s)
		b.StartObject(1)
		b.PrependUOffsetTSlot(0, at, 0)
		return b.EndObject()
	}
	child := text("child")
	b.StartVector(4, 2, 4)
	b.PrependUOffsetT(child)
	b.PrependUOffsetT(child)
	tables := b.EndVector(2)
	b.StartVector(8, 2, 8)
	b.PrependInt64(2)
	b.PrependInt64(1)
	structs := b.EndVector(2)
	name := b.CreateString("name")
	b.StartObject(5)
	b.PrependUOffsetTSlot(0, name, 0)
	b.PrependUOffsetTSlot(1, structs, 0)
	b.PrependUOffsetTSlot(2, child, 0)
	b.PrependUOffsetTSlot(3, tables, 0)
	b.Finish(b.EndObject())
	return b.FinishedBytes()
}

func TestTable(t *testing.T) {
	root := Root(build())
	if root.Text(0) != "name" || root.Text(4) != "" || !root.Has(0) || root.Has(4) || root.Child(2).Text(0) != "child" {
		t.Errorf("texts %q, %q, child %q", root.Text(0), root.Text(4), root.Child(2).Text(0))
	}
	data, count := root.Structs(1, 8)
	if count != 2 || !slices.Equal(data, []byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("%d structs: %v", count, data)
	}
	if data, count := root.Structs(4, 8); data != nil || count != 0 {
		t.Errorf("%d structs in a field that is not set", count)
	}
	if list := root.Tables(3); len(list) != 2 || list[0].Text(0) != "child" || list[1].Text(0) != "child" {
		t.Errorf("%d tables", len(list))
	}
}

// TestHostileTable: a count that the bytes do not hold, and a table that is missing, panic.
func TestHostileTable(t *testing.T) {
	data := build()
	root := Root(data)
	count := data[root.Vector(flatbuffers.UOffsetT(root.Offset(Slot(1))))-4:]
	binary.LittleEndian.PutUint32(count, 1<<30)
	for name, f := range map[string]func(){
		"a count":          func() { root.Structs(1, 8) },
		"a missing table":  func() { root.Child(4) },
		"an offset beyond": func() { Root([]byte{0xFF, 0xFF, 0, 0}).Text(0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			f()
		}()
	}
}
