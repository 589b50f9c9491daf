package policy

// findPassports finds a passport's number: two letters and seven digits, named.
func findPassports(t *folded) []span { return findLettered(t, passport, 7, 0) }

// findResidenceCards finds a residence card's number: two letters, eight digits, two letters, named.
func findResidenceCards(t *folded) []span { return findLettered(t, residenceCard, 8, 2) }

// findLettered finds two letters, that many digits and that many letters; one space or hyphen may part them.
func findLettered(t *folded, kind string, digits, letters int) (spans []span) {
	for _, g := range t.digits {
		if g.end-g.start != digits {
			continue
		}
		start := t.pastGap(g.start, -1)
		if !isLetter(t.peek(start-1)) || !isLetter(t.peek(start-2)) || !t.opens(start-2) {
			continue
		}
		start -= 2
		end := g.end
		if letters > 0 {
			end = t.pastGap(end, 1)
			for range letters {
				if !isLetter(t.peek(end)) {
					end = -1
					break
				}
				end++
			}
		}
		if end > 0 && t.closes(end) && t.named(start, kind) {
			spans = append(spans, span{start, end, named})
		}
	}
	return spans
}

// pastGap steps over one space or hyphen.
func (t *folded) pastGap(i, step int) int {
	next := t.peek(min(i, i+step))
	if step > 0 {
		next = t.peek(i)
	}
	if next == ' ' || isHyphen(next) {
		return i + step
	}
	return i
}
