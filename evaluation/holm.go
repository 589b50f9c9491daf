package evaluation

import (
	"cmp"
	"slices"
)

// Tested is one hypothesis of the family, with Holm's adjustment for testing several at once.
type Tested struct {
	Name           string `json:"name"`
	Test           string `json:"test"`
	PValue         PValue `json:"p_value"`
	AdjustedPValue PValue `json:"adjusted_p_value"`
	Significant    bool   `json:"significant"` // adjusted p < alpha
}

// holm fills in AdjustedPValue and Significant, in place. With p(1) ≤ … ≤ p(m):
// adjusted(i) = max over j ≤ i of min(1, (m − j + 1)·p(j)).
// Holm, A simple sequentially rejective multiple test procedure, 1979.
func holm(family []Tested, alpha float64) {
	order := make([]int, len(family))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(family[a].PValue, family[b].PValue) })
	running := PValue(0)
	for rank, i := range order {
		t := &family[i]
		running = max(running, min(1, PValue(len(family)-rank)*t.PValue))
		t.AdjustedPValue = running
		t.Significant = float64(running) < alpha
	}
}
