package robots

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"so8t/fuzzguard"
)

var (
	lineEnd    = regexp.MustCompile(`\r\n|\r|\n`)
	recordForm = regexp.MustCompile(`(?is)^[ \t]*(user-agent|allow|disallow)[ \t]*:[ \t]*([^#]*?)[ \t]*(?:#.*)?$`)
	tokenForm  = regexp.MustCompile(`(?s)^(\*|[A-Za-z_-]+)(?:[/ \t].*)?$`)
	octetForm  = regexp.MustCompile(`(?s)%[0-9A-Fa-f]{2}|.`)
	pathForm   = regexp.MustCompile(`(?s)^https?://[^/?#]*([^#]*)`)
)

// reference is a second reading of RFC 9309 for texts within the size limit, by expressions and by trying everything: it
// goes over the whole text for the agent, then for "*".
func reference(text, agent, url string) bool {
	path := pathForm.FindStringSubmatch(url)[1]
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if p := strings.Join(octets(path, false), ""); p == "/robots.txt" {
		return true
	}
	rules, named := rulesOf(text, agent)
	if !named {
		rules, _ = rulesOf(text, "*")
	}
	best, allow := 0, true
	for _, r := range rules {
		weight := len(strings.Join(octets(r[1], true), ""))
		if weight == 0 || !equalForms(r[1], path) {
			continue
		}
		if allows := strings.EqualFold(r[0], "allow"); weight > best || weight == best && allows {
			best, allow = weight, allows
		}
	}
	return allow
}

// rulesOf are the rules, key and value, of every group that names the agent.
func rulesOf(text, agent string) (rules [][2]string, named bool) {
	inAgents, mine := false, false
	for _, line := range lineEnd.Split(strings.TrimPrefix(text, "\uFEFF"), -1) {
		m := recordForm.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if !strings.EqualFold(m[1], "user-agent") {
			inAgents = false
			if mine {
				rules = append(rules, [2]string{m[1], m[2]})
			}
			continue
		}
		token := tokenForm.FindStringSubmatch(m[2])
		mine = mine && inAgents || token != nil && strings.EqualFold(token[1], agent) && len(token[1]) == len(agent)
		inAgents, named = true, named || mine
	}
	return rules, named
}

// octets cuts a path or pattern into its octets in normal form. In a pattern "*" and a last "$" stay alone.
func octets(s string, isPattern bool) (all []string) {
	for i := 0; i < len(s); {
		piece := s[i : i+1]
		if m := octetForm.FindString(s[i:]); len(m) == 3 && m[0] == '%' {
			piece = m
		}
		i += len(piece)
		value := uint64(piece[0])
		if len(piece) == 3 {
			value, _ = strconv.ParseUint(piece[1:], 16, 8)
		}
		char := string([]byte{byte(value)})
		special := isPattern && len(piece) == 1 && (piece == "*" || piece == "$" && i == len(s))
		switch {
		case special, strings.Contains("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", char),
			len(piece) == 1 && strings.Contains(":/?#[]@!&'()+,;=%", char):
			all = append(all, char)
		default:
			all = append(all, "%"+strings.ToUpper(strconv.FormatUint(0x100+value, 16)[1:]))
		}
	}
	return all
}

// equalForms tries the path as written, and with the general delimiters of both queries encoded.
func equalForms(pattern, path string) bool {
	p, s := strings.Join(octets(pattern, true), ""), strings.Join(octets(path, false), "")
	return matchesSlowly(p, s) || matchesSlowly(encodeQuery(p), encodeQuery(s))
}

func encodeQuery(s string) (out string) {
	inQuery := false
	for _, o := range s {
		if inQuery && strings.ContainsRune(":/?[]@", o) {
			out += "%" + strings.ToUpper(strconv.FormatUint(uint64(o), 16))
		} else {
			out += string(o)
		}
		inQuery = inQuery || o == '?'
	}
	return out
}

// matchesSlowly fills a table: matched[j] says that the pattern so far matches the first j characters. Both are encoded, so
// that a star or a dollar is never one of the path.
func matchesSlowly(pattern, s string) bool {
	matched := make([]bool, len(s)+1)
	matched[0] = true
	for i, p := range []byte(pattern) {
		next := make([]bool, len(s)+1)
		for j := range next {
			switch {
			case p == '$' && i == len(pattern)-1:
				next[j] = matched[j] && j == len(s)
			case p == '*':
				next[j] = matched[j] || j > 0 && next[j-1]
			default:
				next[j] = j > 0 && matched[j-1] && s[j-1] == p
			}
		}
		matched = next
	}
	return slices.Contains(matched, true)
}

func TestAgainstReference(t *testing.T) {
	random := rand.New(rand.NewPCG(9309, 1))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	piece := func() string {
		return pick("/", "/", "a", "b", "*", "*", "$", "%61", "%2F", "%2a", "?", "?", "=", ":", "%3A", "\u3042", "%E3%81%82", "%", " ", "%zz", "$$", "[")
	}
	some := func(f func() string) (s string) {
		for range random.IntN(7) {
			s += f()
		}
		return s
	}
	line := func() string {
		switch random.IntN(6) {
		case 0, 1:
			return pick("User-agent: ", "user-agent:", " USER-AGENT : ") + pick("*", "a", "A", "b", "a-b", "", "a/1", "b (x)", "7") + pick("", " ", "#x")
		case 2:
			return pick("Sitemap: x", "", "\uFEFF", "x", "#", "Content-Signal: ai-train=no", "Crawl-delay: 1")
		}
		return pick("Allow: ", "Disallow:", "disallow :\t") + pick("/", "/", "") + some(piece) + pick("", "", " ", " # x")
	}
	refused := 0
	for range 60_000 {
		text := pick("", "User-agent: *\n", "User-agent: a\n", "User-agent: c\r")
		for range random.IntN(9) {
			text += line() + pick("\n", "\n", "\r", "\r\n")
		}
		url := site + pick("/", "/", "", "?") + some(piece)
		agent := pick("a", "b", "A-B", "*", "c")
		got := Parse([]byte(text)).Allowed(agent, url)
		if want := reference(text, agent, url); got != want {
			t.Fatalf("%q for %s at %q: allowed %v, by the reference %v", text, agent, url, got, want)
		}
		if !got {
			refused++
		}
	}
	if refused < 3000 {
		t.Errorf("only %d refused: the texts try nothing", refused)
	}
}

// Patterns that make expressions try again and again take as long as others.
func TestLinearTime(t *testing.T) {
	pattern := strings.Repeat("*a", 5000) + "*b$"
	text := []byte("User-agent: *\n" + strings.Repeat("Disallow: /"+pattern+"\n", 40))
	url := site + "/" + strings.Repeat("a", 60_000)
	begin := time.Now()
	if !Parse(text).Allowed("a", url) {
		t.Error("a path without b is refused by a pattern that ends in b")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// parseBound: a line of a few bytes is a rule with its pattern in normal form, up to three times as long.
var parseBound = fuzzguard.Bound{PerByte: 80, Fixed: 64 << 10}

func FuzzRobots(f *testing.F) {
	f.Add("User-agent: *\nDisallow: /a*b$\nAllow: /%61?x=/\n", "a", "/a/b?x=%2F")
	f.Add("\uFEFFuser-agent:a/1\ruser-agent:*\r\ndisallow:/\x00#", "A", "")
	f.Add("Disallow:/\nContent-Signal: ai-train = no, ai-train", "*", "?#")
	f.Fuzz(func(t *testing.T, text, agent, path string) {
		fuzzguard.Call(t, len(text)+len(path), parseBound, func() {
			file := Parse([]byte(text))
			file.RefusesTraining()
			file.Allowed(agent, path)
		})
		if len(text)+len(path) > 2000 || !tokenForm.MatchString(agent) || strings.ContainsAny(agent, "/ \t") {
			return
		}
		if path != "" && !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "?") {
			path = "/" + path
		}
		if got, want := Parse([]byte(text)).Allowed(agent, site+path), reference(text, agent, site+path); got != want {
			t.Fatalf("%q for %q at %q: allowed %v, by the reference %v", text, agent, path, got, want)
		}
	})
}

// FuzzAuthority: a name is one folder below robots_dir, and its own authority.
func FuzzAuthority(f *testing.F) {
	for _, url := range []string{
		"https://a.example:8443/x", "http://[2001:db8::1]/", "https://\u65e5\u672c.example", "https://a_b.example..", "HTTP://u:p@A.example",
		"http://\xa50", "http://ae%84/x"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		name, ok := Authority(url)
		if !ok {
			return
		}
		if name == "" || strings.ContainsAny(name, "/\\ \x00") || strings.Trim(name, ".") == "" || name != strings.ToLower(name) {
			t.Fatalf("%q has the folder %q", url, name)
		}
		host, port, hasPort := name, "", false
		if i := strings.LastIndex(name, "_"); i > strings.LastIndex(name, ".") {
			host, port, hasPort = name[:i], name[i+1:], true
		}
		back := "https://" + host
		if hasPort {
			back += ":" + port
		}
		if again, ok := Authority(back); (!ok || again != name) && port != "443" {
			t.Fatalf("%q has the folder %q, and %q has %q", url, name, back, again)
		}
	})
}
