package policy

import "net/netip"

// findIPAddresses finds IPv4 and IPv6 addresses of the public Internet. What is called a version, or is part of a longer dotted
// number, is none.
func findIPAddresses(t *folded) (spans []span) {
	for g, first := range t.digits {
		if s, ok := t.ipv4(g, first); ok {
			spans = append(spans, s)
		}
	}
	end := 0
	for _, colon := range t.colons {
		if colon < end {
			continue
		}
		var s span
		var ok bool
		if s, end, ok = t.ipv6(colon); ok {
			spans = append(spans, s)
		}
	}
	return spans
}

// reserved are the blocks that no host of the public Internet has, beyond those that netip tells. Documentation's stand for public ones.
var reserved = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4")}

var globalUnicast, nat64 = netip.MustParsePrefix("2000::/3"), netip.MustParsePrefix("64:ff9b::/96")

func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if a.Is6() {
		if nat64.Contains(a) {
			b := a.As16()
			return isPublic(netip.AddrFrom4([4]byte(b[12:])))
		}
		return globalUnicast.Contains(a)
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified()
}

// ipv4 reads an address that begins with group g.
func (t *folded) ipv4(g int, first group) (span, bool) {
	if g+3 >= len(t.digits) || first.end-first.start > 3 {
		return span{}, false
	}
	for k := g + 1; k < g+4; k++ {
		if d := t.digits[k]; t.r[t.digits[k-1].end] != '.' || d.start != t.digits[k-1].end+1 || d.end-d.start > 3 {
			return span{}, false
		}
	}
	start, end := first.start, t.digits[g+3].end
	before, after := t.peek(start-1), t.peek(end)
	compared := before == '=' && t.peek(start-2) == '=' || before == '^' || before == '~' || before == '@' && !t.loggedIn(start, end) ||
		before == '/' && isLetter(t.peek(start-2)) && !t.slashes(start)
	switch {
	case isWord(before) || before == '.' || isHyphen(before) && isLetter(t.peek(start-2)) || compared:
		return span{}, false
	case isWord(after) || after == '.' && isWord(t.peek(end+1)) || isHyphen(after) && isLetter(t.peek(end+1)):
		return span{}, false
	}
	a, err := netip.ParseAddr(string(t.r[start:end]))
	if err != nil || !isPublic(a) || t.versioned(start, end) {
		return span{}, false
	}
	return span{start, end, formed}, true
}

// slashes tells whether a path or URL stands before rune i, not the name of a product: nginx/1.25.3.1.
func (t *folded) slashes(i int) bool { return t.endsAt(i, "//") }

// loggedIn tells whether a user stands before the @ at rune start-1, root@… and not a package: pkg@1.2.3.4.
func (t *folded) loggedIn(start, end int) bool {
	user := start - 1
	for user > 0 && start-user < window && (isWord(t.r[user-1]) || t.r[user-1] == '-' || t.r[user-1] == '.') {
		user--
	}
	return user < start-1 && (t.peek(end) == ':' || t.slashes(user) || string(t.r[user:start-1]) == "root" ||
		t.before(user, "ssh|sftp|scp|rsync|mosh|ssh-copy-id|autossh", 2*window))
}

// versioned tells whether what stands there is called a version or a chapter.
func (t *folded) versioned(start, end int) bool {
	release := func(n name) bool { return n.kind == version || n.kind == other && string(n.word) == "oid" }
	is, on := false, false
	t.names(start, func(n name) bool {
		is = release(n)
		on = is || n.kind == ipAddress
		return !on
	})
	if !on {
		n, ok := t.heading(start)
		is = ok && release(n)
	}
	is = is || t.before(start, "Bump|bump|Bumps|bumps|pgrade|pgraded|owngrade|owngraded|バージョンアップ", 60) // Bump, upgraded, Downgrade … from 6.0.6.1 to 6.1.7.5
	for _, word := range []string{"版", "章", "節", "項", "系", "以降", "以前", "未満", "リリース", "バージョン", "ビルド"} {
		is = is || t.hasAt(end, word) || t.peek(end) == ' ' && t.hasAt(end+1, word)
	}
	return is
}

// maxIPv6 is the length of an address whose last 32 bits are written as IPv4's, as in ::ffff:255.255.255.255.
const maxIPv6 = 45

// ipv6 reads the address around a colon, and says where what it read ends.
func (t *folded) ipv6(colon int) (s span, next int, ok bool) {
	part := func(r rune) bool { return isHex(r) || r == ':' || r == '.' }
	start, end := colon, colon+1
	for part(t.peek(start-1)) && colon-start <= maxIPv6 {
		start--
	}
	for part(t.peek(end)) {
		end++
	}
	next = end
	if end-start > maxIPv6+4 {
		return s, next, false
	}
	// A sentence's colon before, and its colon or full stop behind, are no part of it.
	if t.peek(start) == ':' && t.peek(start+1) != ':' {
		start++
	}
	for end > start && (t.r[end-1] == '.' || t.r[end-1] == ':' && t.peek(end-2) != ':') {
		end--
	}
	before := t.peek(start - 1)
	if isWord(before) || isWord(t.peek(end)) || before == '[' && isWord(t.peek(start-2)) { // a[2000::3] is a slice
		return s, next, false
	}
	a, err := netip.ParseAddr(string(t.r[start:end]))
	if err != nil || !isPublic(a) {
		return s, next, false
	}
	if t.peek(end) == '%' {
		for k := end + 1; isWord(t.peek(k)) || t.peek(k) == '-' || t.peek(k) == '.' && isWord(t.peek(k+1)); k++ {
			end, next = k+1, k+1
		}
	}
	return span{start, end, formed}, next, true
}
