package robots

import (
	"strings"
	"testing"
)

// question is a URL's path asked of a text. Each expectation was written by hand from RFC 9309 and is also held against
// the second reading in reference_test.go.
type question struct {
	why, text, agent, path string
	allow                  bool
}

const site = "https://data.example.co.jp"

func ask(t *testing.T, questions []question) {
	t.Helper()
	for _, q := range questions {
		if got := Parse([]byte(q.text)).Allowed(q.agent, site+q.path); got != q.allow {
			t.Errorf("%s: %q for %s at %q: allowed %v", q.why, q.text, q.agent, q.path, got)
		}
		if got := reference(q.text, q.agent, site+q.path); got != q.allow {
			t.Errorf("%s: the reference has %v", q.why, got)
		}
	}
}

func TestGroups(t *testing.T) {
	ask(t, []question{
		{"an unknown agent falls to *", "User-agent: a\nAllow: /\nUser-agent: *\nDisallow: /x", "b", "/x", false},
		{"three groups of one token are one",
			"User-agent: a\nDisallow: /1\nUser-agent: b\nDisallow: /\nUser-agent: A\nDisallow: /2\nUser-agent: a\nDisallow: /3", "a", "/3", false},
		{"the second of several user agents", "User-agent: a\n\n# x\nUser-agent: b\nDisallow: /x", "b", "/x", false},
		{"an own group without rules allows all", "User-agent: a\n\nUser-agent: *\nDisallow: /\nUser-agent: b\nDisallow: /b", "b", "/x", true},
		{"an own empty rule allows all", "User-agent: a\nDisallow:\nUser-agent: *\nDisallow: /", "a", "/x", true},
		{"a token named beside *", "User-agent: *\nUser-agent: a\nDisallow: /x", "a", "/x", false},
		{"own group and * elsewhere", "User-agent: *\nUser-agent: a\nDisallow: /x\nUser-agent: *\nDisallow: /y", "a", "/y", true},
		{"an empty rule ends the list of agents", "User-agent: a\nDisallow:\nUser-agent: b\nDisallow: /", "a", "/x", true},
		{"an unknown record does not end it", "User-agent: a\nSitemap: https://e.example/s\nUser-agent: b\nDisallow: /", "a", "/x", false},
		{"nor does Crawl-delay", "User-agent: a\nCrawl-delay: 3\nUser-agent: b\nDisallow: /", "a", "/x", false},
		{"nor a line that is no record", "User-agent: a\nhello\nUser-agent: b\nDisallow: /", "a", "/x", false},
		{"a token is not a prefix", "User-agent: mihon\nDisallow: /", "mihonbot", "/x", true},
		{"nor a suffix", "User-agent: bot\nDisallow: /", "mihonbot", "/x", true},
		{"nor cut at a hyphen", "User-agent: a-b\nDisallow: /", "a", "/x", true},
		{"nor at an underscore", "User-agent: a_b\nDisallow: /", "A_B", "/x", false},
		{"a version behind the token", "User-agent: a/2.1\nDisallow: /", "a", "/x", false},
		{"a remark behind the token", "User-agent: a (crawler)\nDisallow: /", "a", "/x", false},
		{"an empty name names nobody", "User-agent:\nDisallow: /", "a", "/x", true},
		{"and begins a group", "User-agent: *\nDisallow: /y\nUser-agent:\nDisallow: /", "a", "/x", true},
		{"* is asked for by name", "User-agent: a\nDisallow: /\nUser-agent: *\nDisallow: /x", "*", "/y", true},
		{"a group of * where * is asked for", "User-agent: a\nAllow: /\nUser-agent: *\nDisallow: /x", "*", "/x", false},
		{"rules before any group", "Disallow: /\nAllow: /x\n", "a", "/x", true},
		{"a rule before, a group behind", "Disallow: /x\nUser-agent: a\nDisallow: /y", "a", "/x", true},
		{"a token with a digit names nobody", "User-agent: so8t\nDisallow: /", "so", "/x", true},
	})
}

func TestWeight(t *testing.T) {
	ask(t, []question{
		{"allow is longer", "User-agent: *\nDisallow: /a/\nAllow: /a/b", "a", "/a/bc", true},
		{"disallow is longer, and first", "User-agent: *\nDisallow: /a/b\nAllow: /a/", "a", "/a/bc", false},
		{"a star is an octet", "User-agent: *\nDisallow: /a*\nAllow: /a", "a", "/ab", false},
		{"a dollar is an octet", "User-agent: *\nDisallow: /a$\nAllow: /a", "a", "/a", false},
		{"a tie of different patterns", "User-agent: *\nDisallow: /a*\nAllow: /*b", "a", "/ab", true},
		{"a tie in the other order", "User-agent: *\nAllow: /*b\nDisallow: /a*", "a", "/ab", true},
		{"octets, not characters", "User-agent: *\nDisallow: /\u65e5\nAllow: /*****", "a", "/%E6%97%A5", false},
		{"over combined groups", "User-agent: a\nDisallow: /p\nUser-agent: b\nDisallow: /\nUser-agent: a\nAllow: /p/q", "a", "/p/q", true},
		{"nothing matches", "User-agent: *\nDisallow: /a\nDisallow: /b", "a", "/c", true},
		{"an empty allow matches nothing", "User-agent: *\nDisallow: /a\nAllow:", "a", "/a", false},
		{"/robots.txt", "User-agent: *\nDisallow: /robots", "a", "/robots.txt", true},
		{"another robots.txt", "User-agent: *\nDisallow: /", "a", "/sub/robots.txt", false},
		{"more than /robots.txt", "User-agent: *\nDisallow: /", "a", "/robots.txts", false},
	})
}

func TestPatterns(t *testing.T) {
	ask(t, []question{
		{"stars in a row", "User-agent: *\nDisallow: /a**b", "a", "/ab", false},
		{"a star may take slashes and the query", "User-agent: *\nDisallow: /a*z", "a", "/a/b?c/z", false},
		{"the last piece may overlap no other", "User-agent: *\nDisallow: /ab*ba$", "a", "/aba", true},
		{"and is found at the end", "User-agent: *\nDisallow: /ab*ba$", "a", "/abbaba", false},
		{"a piece again, later", "User-agent: *\nDisallow: /*.php$", "a", "/a.php.php", false},
		{"star before the end", "User-agent: *\nDisallow: /a*$", "a", "/abc", false},
		{"dollar alone behind a slash", "User-agent: *\nDisallow: /$", "a", "/?", true},
		{"a dollar inside is literal", "User-agent: *\nDisallow: /a$b", "a", "/a$b/c", false},
		{"and encoded it is the same", "User-agent: *\nDisallow: /a$b", "a", "/a%24b", false},
		{"and does not end", "User-agent: *\nDisallow: /a$b", "a", "/a", true},
		{"%24 at the end is literal", "User-agent: *\nDisallow: /a%24", "a", "/a$", false},
		{"%24 does not end", "User-agent: *\nDisallow: /a%24", "a", "/a", true},
		{"%2A is literal", "User-agent: *\nDisallow: /a-%2A.html", "a", "/a-*.html", false},
		{"%2A is no wildcard", "User-agent: *\nDisallow: /a-%2A.html", "a", "/a-b.html", true},
		{"%2a too", "User-agent: *\nDisallow: /a-%2a", "a", "/a-%2A", false},
		{"a star of the path", "User-agent: *\nDisallow: /a", "a", "/*", true},
		{"a pattern that begins with a star", "User-agent: *\nDisallow: *.pdf", "a", "/x/y.pdf", false},
		{"a question mark is literal", "User-agent: *\nDisallow: /a?b", "a", "/ab", true},
		{"brackets are literal", "User-agent: *\nDisallow: /[ab]", "a", "/a", true},
		{"a backslash is literal", "User-agent: *\nDisallow: /a\\*b", "a", "/a*b", true},
		{"paths have case", "User-agent: *\nDisallow: /A", "a", "/a", true},
		{"a fragment is cut", "User-agent: *\nDisallow: /*#", "a", "/x#y", false},
		{"a dot segment is no step", "User-agent: *\nDisallow: /b", "a", "/a/../b", true},
		{"an empty path with a query", "User-agent: *\nDisallow: /?a", "a", "?a=1", false},
	})
}

func TestOctets(t *testing.T) {
	ask(t, []question{
		{"tilde is unreserved", "User-agent: *\nDisallow: /%7Euser", "a", "/~user/x", false},
		{"so are - . _", "User-agent: *\nDisallow: /a-b.c_d", "a", "/a%2Db%2Ec%5Fd", false},
		{"%2f in both", "User-agent: *\nDisallow: /a%2fb", "a", "/a%2Fb", false},
		{"%2F in the rule alone", "User-agent: *\nDisallow: /a%2Fb", "a", "/a/b", true},
		{"%3F is no query", "User-agent: *\nDisallow: /a?b", "a", "/a%3Fb", true},
		{"%26 is not &", "User-agent: *\nDisallow: /a?b&c", "a", "/a?b%26c", true},
		{"two-byte characters", "User-agent: *\nDisallow: /caf\u00e9", "a", "/caf%c3%a9", false},
		{"raw on both sides", "User-agent: *\nDisallow: /\u793e\u5185", "a", "/\u793e\u5185/1", false},
		{"bytes that are no UTF-8", "User-agent: *\nDisallow: /\xff", "a", "/%FF", false},
		{"composed and decomposed differ", "User-agent: *\nDisallow: /\u00e9", "a", "/e\u0301", true},
		{"a space", "User-agent: *\nDisallow: /a b", "a", "/a%20b", false},
		{"a plus is no space", "User-agent: *\nDisallow: /a+b", "a", "/a%20b", true},
		{"a stray percent sign", "User-agent: *\nDisallow: /100%", "a", "/100%!", false},
		{"a cut escape", "User-agent: *\nDisallow: /a%4", "a", "/a%4", false},
		{"escapes are decoded once", "User-agent: *\nDisallow: /%2561", "a", "/a", true},
		{"an escaped escape", "User-agent: *\nDisallow: /%2561", "a", "/%2561", false},
		{"a quotation mark", "User-agent: *\nDisallow: /a\"b", "a", "/a%22b", false},
		{"NUL", "User-agent: *\nDisallow: /a\x00b", "a", "/a%00b", false},
		{"the RFC's table: a URL in a query", "User-agent: *\nDisallow: /foo/bar?baz=https://foo.bar", "a", "/foo/bar?baz=https%3A%2F%2Ffoo.bar", false},
		{"the other way round", "User-agent: *\nDisallow: /foo/bar?baz=https%3A%2F%2Ffoo.bar", "a", "/foo/bar?baz=https://foo.bar", false},
		{"a slash in a query, by a wildcard", "User-agent: *\nDisallow: /*/private", "a", "/x?to=/private", false},
		{"the RFC's table: three octets", "User-agent: *\nDisallow: /foo/bar/\u30c4", "a", "/foo/bar/%E3%83%84", false},
		{"the RFC's table: unreserved", "User-agent: *\nDisallow: /foo/bar/%62%61%7A", "a", "/foo/bar/baz", false},
	})
}

func TestLines(t *testing.T) {
	ask(t, []question{
		{"CRLF, CR and LF mixed", "User-agent: *\r\nAllow: /x\rDisallow: /y\nDisallow: /z", "a", "/z", false},
		{"LF CR", "User-agent: *\n\rDisallow: /y\n\r", "a", "/y", false},
		{"a vertical tab ends no line", "User-agent: *\vDisallow: /y", "a", "/y", true},
		{"nor does U+2028", "User-agent: *\nAllow: /\u2028Disallow: /y", "a", "/y", true},
		{"a BOM before a comment", "\uFEFF# x\nUser-agent: *\nDisallow: /y", "a", "/y", false},
		{"a BOM elsewhere hides its line", "User-agent: *\n\uFEFFDisallow: /y", "a", "/y", true},
		{"a comment without a space", "User-agent: *#x\nDisallow: /y#z", "a", "/yy", false},
		{"a comment before the colon", "User-agent: *\nDisallow#: /y", "a", "/y", true},
		{"a comment is the whole value", "User-agent: *\nDisallow: # /y", "a", "/y", true},
		{"tabs and spaces", "\t User-agent\t :\t*\t\n \t disallow \t:\t /y \t", "a", "/y", false},
		{"only the first colon separates", "User-agent: *\nDisallow: /a:b", "a", "/a:b", false},
		{"two colons", "User-agent: *\nDisallow:: /y", "a", "/y", true},
		{"a key with something behind", "User-agent: *\nDisallow all: /y", "a", "/y", true},
		{"a key in full width", "User-agent: *\n\uff24isallow: /y", "a", "/y", true},
		{"a misspelt key is no rule", "User-agent: *\nDisalow: /y", "a", "/y", true},
		{"a long line", "User-agent: *\nDisallow: /" + strings.Repeat("a", 3_000), "a", "/" + strings.Repeat("a", 3_000), false},
		{"a long line that differs at its end", "User-agent: *\nDisallow: /" + strings.Repeat("a", 3_000) + "b", "a", "/" + strings.Repeat("a", 3_000), true},
	})
}

// A rule that crosses the limit would be another rule, so that it does not count; one that ends there does.
func TestSizeLimit(t *testing.T) {
	head := "User-agent: *\nDisallow: /a\n"
	for _, c := range []struct {
		why, text, path string
		allow           bool
	}{
		{"before the limit", head + strings.Repeat("#\n", MaxSize), "/a", false},
		{"behind it", head + strings.Repeat("#\n", MaxSize/2) + "Disallow: /b\n", "/b", true},
		{"up to it", head + strings.Repeat("#", MaxSize-len(head)-14) + "\nDisallow: /b\n" + "Disallow: /c\n", "/b", false},
		{"across it", head + strings.Repeat("#", MaxSize-len(head)-13) + "\nDisallow: /bc\n", "/b", true},
		{"a line without an end", "User-agent: *\nDisallow: /" + strings.Repeat("b", MaxSize), "/bbb", true},
	} {
		if got := Parse([]byte(c.text)).Allowed("a", site+c.path); got != c.allow {
			t.Errorf("%s: allowed %v", c.why, got)
		}
	}
}

func TestStatus(t *testing.T) {
	file := Parse([]byte("User-agent: *\nDisallow: /x\nContent-Signal: ai-train=no"))
	for _, c := range []struct {
		status     int
		file       *File
		x, y, noAI bool
	}{
		{200, file, false, true, true}, {204, file, false, true, true}, {299, file, false, true, true}, {200, nil, false, false, false},
		{400, file, true, true, false}, {404, nil, true, true, false}, {429, file, true, true, false}, {499, nil, true, true, false},
		{500, file, false, false, false}, {503, nil, false, false, false}, {599, file, false, false, false},
		{0, nil, false, false, false}, {301, file, false, false, false}, {100, file, false, false, false}, {600, file, false, false, false},
	} {
		a := Answer{c.status, c.file}
		if x, y, no := a.Allowed("a", site+"/x"), a.Allowed("a", site+"/y"), a.RefusesTraining(); x != c.x || y != c.y || no != c.noAI {
			t.Errorf("status %d: /x %v, /y %v, training refused %v", c.status, x, y, no)
		}
	}
}

func TestContentSignal(t *testing.T) {
	for text, want := range map[string]bool{
		"Content-Signal: ai-train=no":                                         true,
		"User-agent: a\nContent-Signal: search=yes, ai-train=no\nAllow: /":    true,
		"content-signal : AI-Train = NO # please":                             true,
		"User-agent: *\nAllow: /\n\nContent-Signal: ai-train=no,ai-input=yes": true,
		"Content-Signal: ai-train=yes\nContent-Signal: ai-train=no":           true,
		"Content-Signal: /docs ai-train=no":                                   true,
		"Content-Signal: ai-train=yes, search=no":                             false,
		"Content-Signal: ai-train=none":                                       false,
		"Content-Signal: x-ai-train=no":                                       false,
		"Content-Signal: ai-training=no":                                      false,
		"# Content-Signal: ai-train=no":                                       false,
		"Content-Signals: ai-train=no":                                        false,
		"Content-Signal: ai-train":                                            false,
		"":                                                                    false,
	} {
		if got := Parse([]byte(text)).RefusesTraining(); got != want {
			t.Errorf("%q refuses training: %v", text, got)
		}
	}
	ask(t, []question{{"a signal does not end the list of agents", "User-agent: a\nContent-Signal: search=no\nUser-agent: b\nDisallow: /", "a", "/x", false}})
}
