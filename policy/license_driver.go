package policy

// findDriverLicenses finds a driving licence's number: twelve digits, named: the commission that issued it, the year, a serial,
// a check digit that no authority publishes, and how often it was reissued.
func findDriverLicenses(t *folded) []span { return findNamed(t, driverLicense, 12, holdsLicense) }

func holdsLicense(number []byte) bool {
	check := (11 - weighted(number[:10], 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11) % 10
	return int(number[10]-'0') == check
}
