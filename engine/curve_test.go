package engine

import (
	"encoding/json"
	"reflect"
	"testing"
)

// The curve of a run of any length is bounded, keeps its ends, and is the same for a run
// that was restored from any of its checkpoints.
func TestCurveIsThinned(t *testing.T) {
	var whole, restored Curve
	for step := 1; step <= 20000; step++ {
		whole.add(Point{Step: step})
		restored.add(Point{Step: step})
		if step%997 == 0 {
			text, err := json.Marshal(restored)
			if err != nil {
				t.Fatal(err)
			}
			restored = Curve{}
			if err := json.Unmarshal(text, &restored); err != nil {
				t.Fatal(err)
			}
		}
		n := len(whole.Train)
		if n > maxPoints+2 || step > maxPoints && n < maxPoints/2 || step <= maxPoints && n != step {
			t.Fatalf("%d points after step %d", n, step)
		}
		if whole.Train[0].Step != 1 || whole.Train[n-1].Step != step {
			t.Fatalf("from %d to %d after step %d", whole.Train[0].Step, whole.Train[n-1].Step, step)
		}
	}
	if !reflect.DeepEqual(whole, restored) {
		t.Error("a restored run has another curve")
	}
}
