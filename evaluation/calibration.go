package evaluation

import "math"

// calibrationBins is the customary number (Guo et al., 2017).
const calibrationBins = 15

// Bin is one bar of the reliability diagram: the samples whose confidence lies in (Lower, Upper].
type Bin struct {
	Lower      float64 `json:"lower"`
	Upper      float64 `json:"upper"`
	Count      int     `json:"count"`
	Confidence float64 `json:"confidence"` // mean over the bin
	Accuracy   float64 `json:"accuracy"`
}

// calibration computes ECE = Σ_b n_b/N · |accuracy_b − confidence_b| over bins of equal
// width. Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
func calibration(samples []Decision) (ece float64, bins []Bin) {
	bins = make([]Bin, calibrationBins)
	for i := range bins {
		bins[i].Lower = float64(i) / calibrationBins
		bins[i].Upper = float64(i+1) / calibrationBins
	}
	right := make([]int, calibrationBins)
	for _, s := range samples {
		b := &bins[binOf(s.Confidence)]
		b.Count++
		b.Confidence += s.Confidence
		right[binOf(s.Confidence)] += one(s.Decided == s.Gold)
	}
	for i := range bins {
		b := &bins[i]
		if b.Count == 0 {
			continue
		}
		b.Confidence /= float64(b.Count)
		b.Accuracy = rate(right[i], b.Count)
		ece += float64(b.Count) / float64(len(samples)) * math.Abs(b.Accuracy-b.Confidence)
	}
	return ece, bins
}

func binOf(confidence float64) int {
	bin := int(math.Ceil(confidence*calibrationBins)) - 1
	return min(max(bin, 0), calibrationBins-1)
}
