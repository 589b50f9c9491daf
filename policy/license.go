package policy

import "strings"

// maxLicense bounds an expression, and with it how deep its parentheses nest.
const maxLicense = 4096

// licenses is a list of SPDX identifiers, in lower case and without "+".
type licenses map[string]bool

func newLicenses(ids []string) licenses {
	l := licenses{}
	for _, id := range ids {
		l[licenseKey(id)] = true
	}
	return l
}

// licenseKey takes "+" (this version or a later one) for the version itself, which it permits.
func licenseKey(id string) string { return strings.ToLower(strings.TrimSuffix(id, "+")) }

// isLicenseID reports whether s has the form of an SPDX identifier: letters, digits, "-" and ".", perhaps a "+" behind;
// or of a reference: [DocumentRef-…:]LicenseRef-….
func isLicenseID(s string) bool {
	document, reference, ok := strings.Cut(s, ":")
	if !ok {
		return isIDString(strings.TrimSuffix(s, "+"))
	}
	return hasPrefixFold(document, "DocumentRef-") && isIDString(document) && hasPrefixFold(reference, "LicenseRef-") && isIDString(reference)
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) > len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func isIDString(s string) bool {
	alphanumeric := false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			alphanumeric = true
		case c != '-' && c != '.':
			return false
		}
	}
	return alphanumeric && operator(s) == ""
}

// operator is the SPDX operator that a word is: all upper or all lower case.
func operator(word string) string {
	for _, o := range []string{"AND", "OR", "WITH"} {
		if word == o || word == strings.ToLower(o) {
			return o
		}
	}
	return ""
}

// parentheses become words of their own.
var parentheses = strings.NewReplacer("(", " ( ", ")", " ) ")

// permit reports whether an SPDX expression (annex D of the specification) can be met by listed licences: one side of OR,
// both of AND. An exception only adds permissions, so that a licence WITH one is listed where the licence is. A malformed
// expression is not.
func (l licenses) permit(expression string) bool {
	if len(expression) > maxLicense {
		return false
	}
	p := licenseParser{l, strings.Fields(parentheses.Replace(expression)), true}
	listed := p.or()
	return p.valid && len(p.words) == 0 && listed
}

// licenseParser goes through an expression's words: or = and {OR and}; and = simple {AND simple};
// simple = ( or ) | id [WITH id].
type licenseParser struct {
	listed licenses
	words  []string
	valid  bool
}

func (p *licenseParser) or() bool {
	listed := p.and()
	for p.take("OR") {
		other := p.and() // always read, whatever stands before
		listed = listed || other
	}
	return listed
}

func (p *licenseParser) and() bool {
	listed := p.simple()
	for p.take("AND") {
		other := p.simple()
		listed = listed && other
	}
	return listed
}

func (p *licenseParser) simple() bool {
	word := p.next()
	if word == "(" {
		listed := p.or()
		p.valid = p.valid && p.next() == ")"
		return listed
	}
	p.valid = p.valid && isLicenseID(word)
	if p.take("WITH") {
		p.valid = p.valid && isIDString(p.next())
	}
	return p.listed[licenseKey(word)]
}

// take goes past the next word where it is that operator.
func (p *licenseParser) take(name string) bool {
	if len(p.words) == 0 || operator(p.words[0]) != name {
		return false
	}
	p.words = p.words[1:]
	return true
}

func (p *licenseParser) next() (word string) {
	if len(p.words) > 0 {
		word, p.words = p.words[0], p.words[1:]
	}
	return word
}
