package native

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// A snapshot holds what was there when it began, whichever goroutine reads it and whatever is written meanwhile.
func TestSnapshot(t *testing.T) {
	f := newFixture(t, 1, Float32)
	want := f.normal(3_000_001, Float32) // more than one staging segment
	x := f.vector(want)
	s, err := f.d.Snapshot(x, int64(4*len(want)))
	if err != nil {
		t.Fatal(err)
	}
	f.d.Zero(&Zero{Rows: 1, Columns: int64(len(want)), X: x})
	got := make([]byte, s.Bytes())
	done := make(chan error)
	go func() {
		for offset := 0; offset < len(got); offset += 5_000_000 {
			if _, err := s.ReadAt(got[offset:min(offset+5_000_000, len(got))], int64(offset)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	if v := f.read(x, 1, 10); slices.Max(v) != 0 {
		t.Errorf("the tensor itself is %v", v)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(float32s(got), want) {
		t.Error("the snapshot changed with the tensor")
	}
	uses, err := f.d.Memory()
	if err != nil || !slices.Contains(uses, Use{"snapshot", uint64(s.Bytes()), uint64(s.Bytes())}) {
		t.Errorf("memory is %v, %v", uses, err)
	}
	_, err = s.ReadAt(make([]byte, 8), s.Bytes()-4)
	if !errors.Is(err, ErrArgument) || !strings.Contains(err.Error(), "snapshot_read: 8 bytes at offset 12000000, the snapshot has 12000004") {
		t.Errorf("beyond the end: %v", err)
	}
	s.Free()
	if _, err := s.ReadAt(make([]byte, 4), 0); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("after Free: %v", err)
	}
	f.done()
	s.Free()
	if err := f.d.Err(); err == nil || !strings.Contains(err.Error(), "snapshot_end: snapshot") {
		t.Errorf("freed twice: %v", err)
	}
	f.d.Reset()
	if _, err := f.d.Snapshot(x, s.Bytes()+4); err == nil || !strings.Contains(err.Error(), "snapshot_begin: 12000008 bytes at offset 0, buffer") {
		t.Errorf("of more than there is: %v", err)
	}
}

func float32s(b []byte) []float32 {
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}
