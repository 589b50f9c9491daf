package policy

import "slices"

// findDriverLicenses finds a driving licence's number: twelve digits, named: the commission that issued it, the year, a serial,
// a check digit that no authority publishes, and how often it was reissued.
func findDriverLicenses(t *folded) []span { return findNamed(t, driverLicense, 12, holdsLicense) }

// commissions are the first two digits; 00 stands on old licences of foreigners.
var commissions = []string{"00", "10", "11", "12", "13", "14", "20", "21", "22", "23", "24", "25", "30", "40", "41", "42", "43", "44", "45", "46", "47", "48",
	"49", "50", "51", "52", "53", "54", "55", "60", "61", "62", "63", "64", "65", "70", "71", "72", "73", "74", "80", "81", "82", "83", "90", "91", "92", "93",
	"94", "95", "96", "97"}

func holdsLicense(number []byte) bool {
	check := (11 - weighted(number[:10], 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11) % 10
	return int(number[10]-'0') == check && slices.Contains(commissions, string(number[:2]))
}
