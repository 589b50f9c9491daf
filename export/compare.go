package export

import "math"

// CompareLogits measures merged logits against trained ones, both [sample][position][vocabulary].
func CompareLogits(trained, merged [][][]float32) MergeReport {
	r := MergeReport{Samples: len(trained)}
	same, numbers := 0, 0
	for i := range trained {
		for j := range trained[i] {
			a, b := trained[i][j], merged[i][j]
			if argmax(a) == argmax(b) {
				same++
			}
			for k := range a {
				difference := float64(a[k]) - float64(b[k])
				r.MaxDifference = math.Max(r.MaxDifference, math.Abs(difference))
				r.RMSDifference += difference * difference
				r.RMSLogit += float64(a[k]) * float64(a[k])
			}
			numbers += len(a)
			r.Positions++
		}
	}
	if numbers > 0 {
		r.RMSDifference, r.RMSLogit = math.Sqrt(r.RMSDifference/float64(numbers)), math.Sqrt(r.RMSLogit/float64(numbers))
		r.SameNextToken = float64(same) / float64(r.Positions)
	}
	return r
}

func argmax(x []float32) (best int) {
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
