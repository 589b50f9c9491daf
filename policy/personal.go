package policy

import (
	"cmp"
	"slices"
)

// The kinds of personal data that are looked for.
const (
	email           = "email"
	phone           = "phone"
	postalAddress   = "postal_address"
	myNumber        = "my_number"
	corporateNumber = "corporate_number"
	creditCard      = "credit_card"
	bankAccount     = "bank_account"
	passport        = "passport"
	driverLicense   = "driver_license"
	pensionNumber   = "pension_number"
	residenceCard   = "residence_card"
	ipAddress       = "ip_address"
)

// kind is one kind of personal data: what replaces it, and the rule that finds it.
type kind struct {
	name, mask string
	find       func(t *folded) []span
}

// kinds are listed as reports list them.
var kinds []kind

func init() { // not an initialiser: fold reads the masks, and the rules call fold
	kinds = []kind{
		{email, "[EMAIL]", findEmails},
		{phone, "[PHONE]", findPhones},
		{postalAddress, "[ADDRESS]", findAddresses},
		{myNumber, "[MY_NUMBER]", findMyNumbers},
		{corporateNumber, "[CORPORATE_NUMBER]", findCorporateNumbers},
		{creditCard, "[CREDIT_CARD]", findCards},
		{bankAccount, "[BANK_ACCOUNT]", findBankAccounts},
		{passport, "[PASSPORT]", findPassports},
		{driverLicense, "[DRIVER_LICENSE]", findDriverLicenses},
		{pensionNumber, "[PENSION_NUMBER]", findPensionNumbers},
		{residenceCard, "[RESIDENCE_CARD]", findResidenceCards},
		{ipAddress, "[IP_ADDRESS]", findIPAddresses},
	}
}

// rank says which of two rules keeps the runes that both claim.
type rank int

const (
	formed  rank = iota // by its form alone
	checked             // a check digit holds
	named               // a naming word stands before it
)

// span is a value in a folded text, [start, end) in runes.
type span struct {
	start, end int
	rank       rank
}

// found is personal data in a text, [start, end) in bytes.
type found struct {
	kind       string
	start, end int
	rank       rank
}

// Kinds lists the kinds of personal data that are looked for.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// Personal returns the kinds of personal data in a text, sorted.
func Personal(text string) []string {
	names := []string{}
	for _, f := range findPersonal(text) {
		names = append(names, f.kind)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// findPersonal returns the personal data in a text, in order, none overlapping. What a rule would find once these were
// masked is among them: a mask parts what touched before, and brings a naming word nearer.
func findPersonal(text string) []found {
	if !look(text).personal() {
		return nil
	}
	return readPersonal(text)
}

// readPersonal is findPersonal for a text that may hold personal data.
func readPersonal(text string) []found {
	all := findOnce(text)
	for more := all; len(more) > 0; {
		masked, edges := replace(text, all)
		if !look(masked).personal() {
			break
		}
		if more = findOnce(masked); len(more) > 0 {
			for i, f := range more {
				more[i].start, more[i].end = edges.before(f.start, false), edges.before(f.end, true)
			}
			all = merge(append(all, more...))
		}
	}
	return all
}

// findOnce runs every rule over a text.
func findOnce(text string) []found {
	t := fold(text)
	defer t.free()
	var all []found
	for _, k := range kinds {
		for _, s := range k.find(t) {
			all = append(all, found{k.name, int(t.at[s.start]), int(t.at[s.end]), s.rank})
		}
	}
	return resolve(all)
}

// resolve leaves one of those that overlap: the named one, then the one with a check digit, then the longer.
func resolve(all []found) []found {
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Or(a.start-b.start, b.end-a.end) })
	kept := all[:0]
	for _, f := range all {
		if n := len(kept); n > 0 && f.start < kept[n-1].end {
			last := kept[n-1]
			if cmp.Or(cmp.Compare(f.rank, last.rank), (f.end-f.start)-(last.end-last.start)) > 0 {
				kept[n-1] = f
			}
			continue
		}
		kept = append(kept, f)
	}
	return kept
}

// merge joins those that overlap.
func merge(all []found) []found {
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Or(a.start-b.start, b.end-a.end) })
	kept := all[:0]
	for _, f := range all {
		if n := len(kept); n > 0 && f.start < kept[n-1].end {
			kept[n-1].end = max(kept[n-1].end, f.end)
			continue
		}
		kept = append(kept, f)
	}
	return kept
}
