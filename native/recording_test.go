package native

import (
	"slices"
	"strings"
	"testing"
)

// A replay executes what was recorded, on what the memory holds by then.
func TestRecording(t *testing.T) {
	f := newFixture(t, 2, Float32)
	const rows, columns = 3, 40
	x, w := f.matrix(f.normal(rows*columns, Float32), columns, Float32), f.vector(f.normal(columns, Float32))
	y, rstd := f.empty(rows, columns, Float32), f.vector(make([]float32, rows))
	index := f.ints(2, 0, 1)
	z := f.empty(rows, columns, Float32)
	work := func() {
		f.d.RMSNormForward(&RMSNormForward{Rows: rows, Columns: columns, X: x, Weight: w, Y: y, RStd: rstd, Epsilon: 1e-5})
		f.d.GatherRows(&GatherRows{Rows: rows, Columns: columns, XRows: rows, Index: index, X: y, Y: z})
	}
	r, err := f.d.Record(work)
	if err != nil {
		t.Fatal(err)
	}
	first := f.read(z, rows, columns)
	for range 3 { // a GPU makes its graph at the first
		other := f.normal(rows*columns, Float32)
		wide := make([]float32, 0, rows*int(x.Stride))
		for i := range rows {
			wide = append(append(wide, other[i*columns:(i+1)*columns]...), make([]float32, int(x.Stride)-columns)...)
		}
		f.upload(x, wide)
		r.Replay()
		got := f.read(z, rows, columns)
		work()
		if want := f.read(z, rows, columns); !slices.Equal(got, want) || slices.Equal(got, first) {
			t.Error("a replay differs from the operations themselves")
		}
	}
	if err := Upload(f.d, index, []int32{0, 7, 1}); err != nil {
		t.Fatal(err)
	}
	r.Replay()
	if err := f.d.Synchronize(); err == nil || !strings.Contains(err.Error(), "gather_rows: index[1] is 7") {
		t.Errorf("a wrong index in a replay: %v", err)
	}
	f.d.Reset()
	r.Free()
	r.Replay()
	if err := f.d.Err(); err == nil || !strings.Contains(err.Error(), "replay: recording") {
		t.Errorf("after Free: %v", err)
	}
	f.d.Reset()
	if _, err := f.d.Record(func() { f.d.Zero(&Zero{Rows: -1, Columns: 1, X: x}) }); err == nil || !strings.Contains(err.Error(), "zero: rows is -1") {
		t.Errorf("a recording that fails: %v", err)
	}
	f.d.Reset()
	if _, err := f.d.Record(func() {}); err != nil { // the failed one is not open any more
		t.Fatal(err)
	}
	if _, err := f.d.Record(func() { f.d.Record(work) }); err == nil || !strings.Contains(err.Error(), "has not ended") {
		t.Errorf("a recording inside another: %v", err)
	}
}
