// Package robots answers, from stored robots.txt files, whether a crawler may fetch a URL. It follows RFC 9309 and never
// opens a connection.
//
// Beyond the RFC it reads Content-Signal records (contentsignals.org), as many sites use them to refuse training.
package robots

import (
	"bytes"
	"strings"
)

// MaxSize is how much of a file is parsed (RFC 9309, 2.5): a line that crosses it is left out whole, because half a rule
// is another rule.
const MaxSize = 500 << 10

// AnyAgent asks for the groups of "*" alone.
const AnyAgent = "*"

// File is a parsed robots.txt. It does not change, and is safe for concurrent use.
type File struct {
	groups  []group
	trainNo bool
}

// group is the rules below consecutive User-agent lines. The groups of one agent are combined when it asks.
type group struct {
	agents []string // product tokens in lower case, or AnyAgent
	rules  []rule
}

type rule struct {
	allow bool
	pattern
}

// Parse reads what can be read of a file (RFC 9309, 2.3.1.5). No input is an error.
func Parse(text []byte) *File {
	if len(text) > MaxSize {
		text = text[:bytes.LastIndexAny(text[:MaxSize+1], "\r\n")+1]
	}
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	f := &File{}
	naming := false // the line before that counted was a User-agent line
	for len(text) > 0 {
		var line []byte
		line, text = cutLine(text)
		key, value, ok := record(line)
		if !ok {
			continue
		}
		switch {
		case strings.EqualFold(key, "user-agent"):
			if !naming {
				f.groups = append(f.groups, group{})
			}
			naming = true
			if token := productToken(value); token != "" {
				g := &f.groups[len(f.groups)-1]
				g.agents = append(g.agents, token)
			}
		case strings.EqualFold(key, "allow"), strings.EqualFold(key, "disallow"):
			naming = false
			if len(f.groups) > 0 && value != "" { // an empty pattern matches nothing
				g := &f.groups[len(f.groups)-1]
				g.rules = append(g.rules, rule{strings.EqualFold(key, "allow"), newPattern(value)})
			}
		case strings.EqualFold(key, "content-signal"): // like any other record, it does not end the list of user agents
			f.trainNo = f.trainNo || refusesTraining(value)
		}
	}
	return f
}

// cutLine cuts text behind its first line, which CR, LF or CRLF ends. The LF of a CRLF is left as an empty line.
func cutLine(text []byte) (line, rest []byte) {
	i := bytes.IndexAny(text, "\r\n")
	if i < 0 {
		return text, nil
	}
	return text[:i], text[i+1:]
}

// record splits "key: value # comment".
func record(line []byte) (key, value string, ok bool) {
	line, _, _ = bytes.Cut(line, []byte("#"))
	k, v, ok := bytes.Cut(line, []byte(":"))
	return string(bytes.Trim(k, " \t")), string(bytes.Trim(v, " \t")), ok
}

// productToken is a User-agent line's token in lower case. What follows a token behind "/" or white space (a version, a
// remark) is passed over. It is empty where the value begins with no token: such a line names nobody.
func productToken(value string) string {
	if i := strings.IndexAny(value, "/ \t"); i >= 0 {
		value = value[:i]
	}
	if value != AnyAgent && !IsProductToken(value) {
		return ""
	}
	return strings.ToLower(value)
}

// IsProductToken reports whether s is letters, "_" and "-" (RFC 9309, 2.2.1): no digits.
func IsProductToken(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && s[i] != '_' && s[i] != '-' {
			return false
		}
	}
	return s != ""
}

// refusesTraining reports whether a Content-Signal value ("search=yes, ai-train=no") says ai-train=no.
func refusesTraining(value string) bool {
	value = strings.ToLower(value)
	for {
		i := strings.Index(value, "ai-train")
		if i < 0 {
			return false
		}
		begins := i == 0 || strings.IndexByte(" \t,;", value[i-1]) >= 0
		value = value[i+len("ai-train"):]
		answer, ok := strings.CutPrefix(strings.TrimLeft(value, " \t"), "=")
		answer = strings.TrimLeft(answer, " \t")
		no, after := strings.CutPrefix(answer, "no")
		if begins && ok && after && (no == "" || strings.IndexByte(" \t,;", no[0]) >= 0) {
			return true
		}
	}
}

// RefusesTraining reports whether a Content-Signal record, of whichever group, says ai-train=no.
func (f *File) RefusesTraining() bool { return f.trainNo }

// Allowed reports whether a crawler may fetch a URL. The agent is a product token, whose case does not matter, or AnyAgent.
// The groups that name the agent decide together; those of "*" only where there is none (RFC 9309, 2.2.1).
func (f *File) Allowed(agent, rawURL string) bool {
	at := pathOf(rawURL)
	if at.path == "/robots.txt" {
		return true // implicitly (RFC 9309, 2.2.2)
	}
	agent = productToken(agent)
	if !f.names(agent) {
		agent = AnyAgent
	}
	longest, allowed := -1, true
	for _, g := range f.groups {
		if !g.names(agent) {
			continue
		}
		for _, r := range g.rules {
			// The pattern of most octets decides; of equal ones, allow (RFC 9309, 2.2.2).
			if n := len(r.text); (n > longest || n == longest && r.allow && !allowed) && r.matches(at) {
				longest, allowed = n, r.allow
			}
		}
	}
	return allowed
}

func (f *File) names(agent string) bool {
	for _, g := range f.groups {
		if g.names(agent) {
			return true
		}
	}
	return false
}

func (g group) names(agent string) bool {
	for _, a := range g.agents {
		if a == agent {
			return true
		}
	}
	return false
}
