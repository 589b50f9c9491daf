package engine

import (
	"math"
	"slices"
	"testing"
)

// Known answers of Random123's kat_vectors.
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{want: [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := philox4x32(c.counter, c.key); got != c.want {
			t.Errorf("philox(%x, %x) = %x, want %x", c.counter, c.key, got, c.want)
		}
	}
}

func TestEpochOrder(t *testing.T) {
	a, b := epochOrder(7, 0, 100), epochOrder(7, 1, 100)
	if slices.Equal(a, b) || !slices.Equal(a, epochOrder(7, 0, 100)) {
		t.Error("the order must depend on the epoch, and on nothing else")
	}
	slices.Sort(a)
	for i, v := range a {
		if i != v {
			t.Fatal("not a permutation")
		}
	}
}

func TestScheduleCosine(t *testing.T) {
	s := Schedule{Name: "cosine", Base: 2, WarmupSteps: 4, TotalSteps: 12}
	for step, want := range map[int]float64{0: 0, 2: 1, 4: 2, 8: 1, 12: 0} {
		if got, err := s.Rate(step); err != nil || math.Abs(got-want) > 1e-12 {
			t.Errorf("rate(%d) = %v, %v, want %v", step, got, err, want)
		}
	}
	if _, err := (Schedule{Name: "polynomial"}).Rate(0); err == nil {
		t.Error("an unknown scheduler must be an error")
	}
}
