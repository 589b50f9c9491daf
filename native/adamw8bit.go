package native

import (
	"math"
	"slices"
)

// DynamicMap is the code book of 8-bit optimizer states: 256 ascending values in [−1, 1], or in [0, 1] where
// unsigned, dense near zero; the dynamic tree quantisation of Dettmers et al., arXiv 2110.02861, with the
// values that bitsandbytes' create_dynamic_map gives.
func DynamicMap(signed bool) []float32 {
	const exponentBits = 7
	values := []float32{0, 1}
	for i := range exponentBits {
		items := 1 << i
		if !signed {
			items *= 2
		}
		power := float32(math.Pow(10, float64(i-exponentBits+1)))
		bound := func(j int) float32 { return linspace(0.1, 1, items+1, j) }
		for j := range items {
			v := power * ((bound(j) + bound(j+1)) / 2)
			values = append(values, v)
			if signed {
				values = append(values, -v)
			}
		}
	}
	slices.Sort(values)
	return values
}

// linspace is element i of n evenly spaced numbers, rounded as torch rounds them: from the nearer end, once.
func linspace(start, end float32, n, i int) float32 {
	step := (end - start) / float32(n-1)
	if i < n/2 {
		return float32(float64(start) + float64(step)*float64(i))
	}
	return float32(float64(end) - float64(step)*float64(n-1-i))
}
