package policy

// findCards finds a payment card's number by its issuer, length and check digit (ISO/IEC 7812); it needs no name. There is no
// Visa of 13 digits: Japan's article numbers begin with 45 and 49.
func findCards(t *folded) (spans []span) {
	for g, first := range t.digits {
		if n := first.end - first.start; n != 4 && n != 6 && (n < 14 || n > 19) || t.r[first.start] < '3' && t.r[first.start] != '2' || t.r[first.start] > '6' {
			continue
		}
		for digits := 19; digits >= 14; digits-- {
			end, ok := t.joined(g, digits)
			if !ok || !t.cardShape(g, end) || !isCard(t.value(first.start, end)) || t.misnamed(first.start, creditCard) || t.counts(end) {
				continue
			}
			s := span{first.start, end, checked}
			if t.named(first.start, creditCard) {
				s.rank = named
			} else if end > first.end && t.listed(first.start, end) {
				continue
			}
			spans = append(spans, s)
			break
		}
	}
	return spans
}

// cardShape: as cards print them, 4-4-4-4(-3), 4-6-5, 4-6-4 or 6-13; the last group may be shorter.
func (t *folded) cardShape(g, end int) bool {
	for k := g; t.digits[k].start < end; k++ {
		n, last := t.digits[k].end-t.digits[k].start, t.digits[k].end == end
		if k == g && last {
			return true
		}
		if !last && n != 4 && n != 6 || last && n > 6 && n != 13 && n != 10 || last && n < 2 {
			return false
		}
		if last {
			return true
		}
		if k+1 == len(t.digits) {
			return false
		}
	}
	return false
}

// listed tells whether more numbers stand before or behind, a space apart, as in a table of numbers. An expiry date is none.
func (t *folded) listed(start, end int) bool {
	if t.peek(start-1) == ' ' && isDigit(t.peek(start-2)) {
		return true
	}
	if t.peek(end) != ' ' || !isDigit(t.peek(end+1)) {
		return false
	}
	for end++; isDigit(t.peek(end)); end++ {
	}
	return t.peek(end) != '/'
}

func isCard(number []byte) bool { return issued(number) && luhn(number) }

// issued tells whether an issuer gives out numbers that begin so and have this length.
func issued(number []byte) bool {
	prefix, n := 0, len(number)
	for _, c := range number[:4] {
		prefix = prefix*10 + int(c-'0')
	}
	switch two, three := prefix/100, prefix/10; {
	case two >= 40 && two <= 49, prefix == 6011, three >= 644 && three <= 649, two == 65:
		return n == 16 || n == 19
	case two >= 51 && two <= 55, prefix >= 2221 && prefix <= 2720, prefix >= 3528 && prefix <= 3589:
		return n == 16
	case two == 34, two == 37:
		return n == 15
	case three >= 300 && three <= 305, two == 36, two == 38:
		return n == 14
	case two == 62:
		return n >= 16 && n <= 19
	}
	return false
}

// luhn: every second digit from the right doubled, the sum of all digits is a multiple of ten.
func luhn(number []byte) bool {
	sum := 0
	for i, c := range number {
		d := int(c - '0')
		if (len(number)-i)%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
