package policy

import (
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// maxLocal is the length of a local part (RFC 5321, 4.5.3.1.1); labels of a domain have at most 63 and a domain 255 octets.
const maxLocal, maxLabel, maxLabels = 64, 63, 10

// findEmails finds addresses: a local part, an @, and a domain that ends with a public suffix.
func findEmails(t *folded) (spans []span) {
	for _, at := range t.ats {
		start := t.localPart(at)
		if start < 0 {
			continue
		}
		if end := t.domain(at + 1); end > 0 && !t.remote(start, at, end) {
			spans = append(spans, span{start, end, checked})
		}
	}
	return spans
}

func isLocal(r rune) bool { return isWord(r) || strings.ContainsRune(".%+-", r) }

// localPart returns where the local part before the @ begins, −1 where there is none. Two dots, or one right before the @, are
// no fault: mobile carriers of Japan gave out such addresses.
func (t *folded) localPart(at int) int {
	if t.peek(at-1) == '"' {
		for i := at - 2; i >= 0 && at-i <= maxLocal && t.r[i] != '\n'; i-- {
			if t.r[i] == '"' && i < at-2 {
				return i
			}
		}
		return -1
	}
	i := at
	for i > 0 && at-i <= maxLocal {
		c := t.r[i-1]
		if !isLocal(c) && !((c == '\'' || c == '’') && i < at && isLetter(t.r[i]) && isLetter(t.peek(i-2))) {
			break
		}
		i--
	}
	if at-i > maxLocal {
		return -1
	}
	for i < at && !isWord(t.r[i]) {
		i++
	}
	if i == at {
		return -1
	}
	return i
}

// domain returns where the longest domain that begins at rune i ends, −1 where none does.
func (t *folded) domain(i int) int {
	var ends [maxLabels]int
	start, n := i, 0
	for n < maxLabels {
		end := t.domainLabel(i)
		if end == i {
			break
		}
		ends[n] = end
		n++
		if t.peek(end) != '.' {
			break
		}
		i = end + 1
	}
	for ; n >= 2; n-- {
		labels := strings.Split(string(t.r[start:ends[n-1]]), ".")
		if isHost(labels) {
			return ends[n-1]
		}
		if last := labels[n-1]; last[0] >= 0x80 { // a suffix in another script, and a text without spaces behind it
			runes := []rune(last)
			for k := min(len(runes)-1, 20); k > 0; k-- {
				if labels[n-1] = string(runes[:k]); isHost(labels) {
					return ends[n-1] - len(runes) + k
				}
			}
		}
	}
	return -1
}

// domainLabel returns where a label of a domain ends: ASCII letters, digits and hyphens, or letters of any other script.
func (t *folded) domainLabel(i int) int {
	start := i
	ascii := t.peek(i) < 0x80
	for i-start < maxLabel {
		c := t.peek(i)
		host := isLetter(c) || isDigit(c) || c == '-'
		if ascii && !host || !ascii && !host && !isKanji(c) && !isKatakana(c) && !isHiragana(c) && !isForeign(c) {
			break
		}
		i++
	}
	for i > start && t.r[i-1] == '-' {
		i--
	}
	if t.peek(start) == '-' {
		return start
	}
	return i
}

// isForeign tells letters of the scripts that have public suffixes of their own, and Latin ones with marks.
func isForeign(r rune) bool {
	return r >= 0xC0 && r <= 0x24F && r != 0xD7 && r != 0xF7 || r >= 0x370 && r <= 0x6FF || r >= 0x900 && r <= 0xEFF || r >= 0x10A0 && r <= 0x10FF ||
		r >= 0xAC00 && r <= 0xD7A3
}

// isHost tells whether labels are a domain beneath a public suffix of ICANN's. A version (torch@2.4.dev) and a scale of an
// image (icon@2x.zip) are none, nor is a name of one letter beneath two (q@k.mt).
func isHost(labels []string) bool {
	host := strings.ToLower(strings.Join(labels, "."))
	for i := range len(host) {
		if host[i] >= 0x80 {
			var err error
			if host, err = idna.Punycode.ToASCII(host); err != nil {
				return false
			}
			break
		}
	}
	suffix, icann := publicsuffix.PublicSuffix(host)
	if !icann && !strings.Contains(suffix, ".") || icann && suffix == host {
		return false
	}
	first := labels[0]
	scale := len(first) == 2 && isDigit(rune(first[0])) && lower(rune(first[1])) == 'x'
	version := isNumber(first) && isDigit(rune(labels[1][0]))
	return !scale && !version
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

// remote tells what only looks like an address: the user of a URL or of a Git remote, and a product of matrices, Q@K.mT.
func (t *folded) remote(start, at, end int) bool {
	if t.endsAt(start, "//") || t.hasAt(start, "git@") && t.peek(end) == ':' {
		return true
	}
	for i := start; i > 0 && start-i < maxLocal; i-- { // ftp://user:word@host
		if c := t.r[i-1]; c == '/' && t.peek(i-2) == '/' && t.peek(i-3) == ':' {
			return true
		} else if !isLocal(c) && c != ':' {
			break
		}
	}
	return at-start == 1 && t.peek(at+2) == '.'
}
