package dataset

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func TestPack(t *testing.T) {
	for _, c := range []struct {
		lengths []int
		max     int
		want    [][]int
	}{
		{nil, 10, nil},
		{[]int{4}, 10, [][]int{{0}}},
		{[]int{6, 5, 4, 5}, 10, [][]int{{0, 2}, {1, 3}}},
		{[]int{3, 3, 3, 3}, 9, [][]int{{0, 1, 2}, {3}}},
		{[]int{2, 12, 8}, 10, [][]int{{1}, {0, 2}}}, // longer than a row: alone
	} {
		if got := Pack(c.lengths, c.max); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Pack(%v, %d) = %v, want %v", c.lengths, c.max, got, c.want)
		}
	}
}

func TestPackFillsRows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		lengths := make([]int, 200)
		total := 0
		for i := range lengths {
			lengths[i] = 1 + r.IntN(1000)
			total += lengths[i]
		}
		const max = 1024
		rows := Pack(lengths, max)
		var seen []int
		for _, row := range rows {
			sum := 0
			for _, i := range row {
				sum += lengths[i]
			}
			if sum > max {
				t.Fatalf("a row of %d tokens", sum)
			}
			seen = append(seen, row...)
		}
		slices.Sort(seen)
		for i, got := range seen {
			if i != got || len(seen) != len(lengths) {
				t.Fatalf("samples %v", seen)
			}
		}
		// First-fit decreasing: at most 11/9 of the least, which is at least total/max; + 1 for its constant 6/9.
		if limit := (total/max+1)*11/9 + 1; len(rows) > limit {
			t.Errorf("%d rows, at most %d are due", len(rows), limit)
		}
	}
}
