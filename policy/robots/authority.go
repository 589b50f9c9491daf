package robots

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxURL bounds the time that one URL can take: every pattern of a file is tried on it.
const maxURL = 64 << 10

// hosts maps a host name as a browser does: full-width letters and dots, upper case, then punycode.
var hosts = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// Authority returns the name that a URL's host and port have as a folder: the lower-case ASCII host, and "_port" where the
// port is not the scheme's own. It is false for what is no absolute http or https URL.
func Authority(rawURL string) (string, bool) {
	if len(rawURL) > maxURL || strings.ContainsFunc(rawURL, func(r rune) bool { return r < ' ' || r == 0x7F }) {
		return "", false
	}
	scheme, rest, ok := strings.Cut(rawURL, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "http" && scheme != "https" {
		return "", false
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	// Without the path: url.Parse refuses stray percent signs there, which browsers send.
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil {
		return "", false
	}
	host, ok := hostName(u.Hostname())
	if !ok {
		return "", false
	}
	port := u.Port()
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return host, true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return host + "_" + strconv.FormatUint(n, 10), err == nil && n > 0
}

func hostName(host string) (string, bool) {
	if strings.Contains(host, ":") { // url.Parse took it out of brackets: IPv6
		return "[" + strings.ToLower(host) + "]", !strings.ContainsAny(host, "/%")
	}
	if !utf8.ValidString(host) { // a replacement character would stand for it
		return "", false
	}
	host, err := hosts.ToASCII(host)
	if err != nil {
		return "", false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	labels := strings.Split(host, ".")
	for i, label := range labels {
		last := i == len(labels)-1
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && (r != '_' || last) // "_" is before the port
		}) {
			return "", false
		}
	}
	return host, len(host) <= 253
}
