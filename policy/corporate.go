package policy

// findCorporateNumbers finds a company's number: thirteen digits, named, with the check digit first; a T before it
// where it is the number of a qualified invoice issuer.
func findCorporateNumbers(t *folded) (spans []span) {
	for g, first := range t.digits {
		if first.end-first.start > 13 {
			continue
		}
		start := first.start
		if i := start - 1; i >= 0 {
			if t.r[i] == '-' || t.r[i] == ' ' {
				i--
			}
			if c := t.peek(i); (c == 'T' || c == 't') && t.opens(i) {
				start = i
			}
		}
		end, ok := t.span(g, 13, start)
		if ok && holdsCorporate(t.value(first.start, end)) && t.named(start, corporateNumber) {
			spans = append(spans, span{start, end, named})
		}
	}
	return spans
}

// holdsCorporate: 9 − (Σ pₙqₙ mod 9), q = 1 for odd n and 2 for even n, counted from the right.
func holdsCorporate(number []byte) bool {
	return int(number[0]-'0') == 9-weighted(number[1:], 2, 1)%9
}
