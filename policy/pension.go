package policy

// findPensionNumbers finds a basic pension number: four and six digits, or ten, named. It has no check digit.
func findPensionNumbers(t *folded) (spans []span) {
	for g, first := range t.digits {
		if n := first.end - first.start; n != 4 && n != 10 {
			continue
		}
		end, ok := t.joined(g, 10)
		if ok && (end == first.end || t.digits[g+1].end == end) && t.named(first.start, pensionNumber) && !t.counts(end) {
			spans = append(spans, span{first.start, end, named})
		}
	}
	return spans
}
