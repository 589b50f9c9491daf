package policy

import (
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

// plan is a region's numbering plan, by libphonenumber's metadata: an expression for what it holds a valid national number.
// Its own call takes 21 µs and 52 allocations; a text of nothing but numbers would take a second for each half megabyte.
type plan struct {
	region  string
	trunk   string         // dialled before a national number at home: 0 nearly everywhere
	leading *regexp.Regexp // of a region that shares its code: only numbers that begin so are its own; nil where it takes what is left
	valid   func() *regexp.Regexp
}

// plans are all regions by country calling code.
var plans = sync.OnceValue(func() map[string][]plan {
	table := map[string][]plan{}
	all, err := phonenumbers.MetadataCollection()
	if err != nil {
		panic("phonenumbers: " + err.Error()) // it is part of the program
	}
	for _, region := range all.GetMetadata() {
		var types []string
		for _, desc := range []*phonenumbers.PhoneNumberDesc{region.GetFixedLine(), region.GetMobile(), region.GetTollFree(), region.GetPremiumRate(),
			region.GetSharedCost(), region.GetPersonalNumber(), region.GetVoip(), region.GetPager(), region.GetUan(), region.GetVoicemail()} {
			if pattern := desc.GetNationalNumberPattern(); pattern != "" && pattern != "NA" {
				types = append(types, pattern)
			}
		}
		code := strconv.Itoa(int(region.GetCountryCode()))
		var leading *regexp.Regexp
		if digits := region.GetLeadingDigits(); digits != "" {
			leading = regexp.MustCompile("^(?:" + digits + ")")
		}
		pattern := "^(?:" + strings.Join(types, "|") + ")$"
		valid := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
		table[code] = append(table[code], plan{region.GetId(), region.GetNationalPrefix(), leading, valid})
	}
	return table
})

// validIn tells whether a number without its trunk prefix is one of Japan or of the United States.
func validIn(region string, number []byte) bool {
	code := "81"
	if region == "US" {
		code = "1"
	}
	for _, p := range plans()[code] {
		if p.region == region {
			return p.valid().Match(number)
		}
	}
	return false
}

// validAbroad tells whether a number that begins with its country calling code is valid in a region of that code. A trunk prefix
// that was left in is passed over, as libphonenumber does.
func validAbroad(number []byte) bool {
	for n := 1; n <= 3; n++ {
		for _, p := range plans()[string(number[:n])] {
			national := number[n:]
			if p.leading != nil && p.leading.Match(national) {
				return p.valid().Match(national)
			}
			if p.valid().Match(national) || national[0] == '0' && p.trunk == "0" && p.valid().Match(national[1:]) {
				return true
			}
		}
	}
	return false
}
