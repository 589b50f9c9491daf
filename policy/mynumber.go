package policy

// findMyNumbers finds a resident's number: twelve digits, named, the check digit of the ordinance on the number
// (総務省令第85号 of 2014, article 5).
func findMyNumbers(t *folded) []span { return findNamed(t, myNumber, 12, holdsMyNumber) }

func holdsMyNumber(number []byte) bool {
	r := weighted(number[:11], 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2) % 11
	if r <= 1 {
		return number[11] == '0'
	}
	return int(number[11]-'0') == 11-r
}
