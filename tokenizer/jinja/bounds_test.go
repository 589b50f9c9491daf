package jinja

import (
	"strings"
	"sync"
	"testing"
	"time"

	"so8t/fuzzguard"
)

// endless templates would take for ever, or all memory, were they not bounded.
var endless = []string{
	"{{ 'a' * 10**12 }}",
	"{{ [1] * 10**10 }}",
	"{{ '%1000000000d' % 1 }}",
	"{{ '%.1000000000f' % 1 }}",
	"{{ '{:1000000000}'.format(1) }}",
	"{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
	"{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
	"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
	"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
	"{% set ns = namespace(x={'a': 1}) %}{% for i in range(60) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x | tojson }}",
	"{% set ns = namespace(x=[]) %}{% for i in range(5000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x == ns.x[0] }}{{ ns.x }}",
	"{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
	"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
	"{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
	"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
	"{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
	"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
	"{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
	"{{ 'a'.ljust(10**11) }}",
	"{{ 'a' | center(10**11) }}",
	"{{ ('a' * 10000) | replace('', 'b' * 100000) }}",
	"{{ '1'.zfill(10**11) }}",
	"{{ ('a\n' * 100000) | indent(100000) }}",
	"{{ ([[1]] * 10000) | tojson(indent=10**6) }}",
	"{{ (['a'] * 100000) | join('b' * 100000) }}",
	"{{ ('\t' * 1000).expandtabs(10**9) }}",
	"{{ [1] | batch(10**12, 0) | list }}",
	"{{ [1] | slice(10**12, 0) | list }}",
	"{{ ('a' * 1000000) | list | list | list }}",
	"{% for i in range(99999) %}{{ 'b' in 'a' * 1000000 }}{% endfor %}",
	"{% set x = 'a' * 1000000 %}{% for i in range(99999) %}{% if 'b' in x %}{% endif %}{% endfor %}",
	"{% set x = 'あ' * 1000000 %}{% for i in range(99999) %}{% set y = x | length %}{% endfor %}",
	"{{ range(99999) | map('string') | join | upper | list | sort | join | length }}",
	"{% set x = range(99999) | list %}{% for i in x %}{% for j in x %}{% if x == x + [1] %}{% endif %}{% endfor %}{% endfor %}",
	"{% set x = ['a' * 100000] * 1000 %}{% for i in range(9999) %}{% set y = x | sort %}{% endfor %}",
	"{{ ('<' * 10000000) | e | e | e }}",
	"{% set ns = namespace(x=[1]) %}{% for i in range(25) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x[:] }}{{ (ns.x | string) | length }}",
}

// TestBounded: each ends soon, with an error of one line, and within a share of memory.
func TestBounded(t *testing.T) {
	for _, text := range endless {
		template, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		begin := time.Now()
		fuzzguard.Call(t, len(text), fuzzguard.Bound{Fixed: 512 << 20}, func() { _, err = template.Render(nil, Limits{}) })
		if err == nil || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), engineFault) {
			t.Errorf("%s: %v", text, err)
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s: %v", text, took)
		}
	}
}

// TestParseBounded: what would exhaust the parser is refused.
func TestParseBounded(t *testing.T) {
	for deep, n := range map[string]int{
		"(": 1e5, "[": 1e5, "{1:": 5e4, "-": 1e5, "not ": 5e4, "1 if 1 else ": 2e4, "1 if (": 2e4,
		"a.": 1e5, "1+": 1e5, "2**": 5e4, "a|e|": 5e4, "a[": 1e5, "f(": 1e5, "x is odd(": 2e4,
	} {
		if _, err := Parse("{{ " + strings.Repeat(deep, n)); err == nil || strings.Contains(err.Error(), engineFault) {
			t.Errorf("%q without end: %v", deep, err)
		}
	}
	for _, deep := range []string{"{% if 1 %}", "{% for x in y %}", "{% macro m() %}", "{% generation %}", "{% set x %}"} {
		if _, err := Parse(strings.Repeat(deep, 1000)); err == nil || strings.Contains(err.Error(), engineFault) {
			t.Errorf("%q without end: %v", deep, err)
		}
	}
	if _, err := Parse(strings.Repeat("a", maxTemplateBytes+1)); err == nil {
		t.Error("a template of any length is accepted")
	}
	if _, err := Parse("{{ 1" + strings.Repeat(" ~ 1", 30_000) + " }}"); err != nil {
		t.Error(err)
	}
}

// TestLongConversation: the bounds grow with the conversation.
func TestLongConversation(t *testing.T) {
	template, err := Parse("{% for m in messages %}{{ '<|' + m.role + '|>' + m.content | trim + '<|end|>' }}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	var messages []any
	for range 2000 {
		messages = append(messages, Dict{{"role", "user"}, {"content", strings.Repeat("長い話。", 2000)}})
	}
	r, err := template.Render(map[string]any{"messages": messages}, Limits{})
	if err != nil || len(r.Text) != 2000*(24000+15) {
		t.Errorf("%d bytes, %v", len(r.Text), err)
	}
}

// TestConcurrent renders one template in many goroutines.
func TestConcurrent(t *testing.T) {
	template, err := Parse("{% set ns = namespace(n=0) %}{% for i in range(50) %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for n := range 16 {
		wait.Go(func() {
			for range 50 {
				r, err := template.Render(map[string]any{"x": n}, Limits{})
				if want := (&state{}).repr(int64(50 * n)); err != nil || r.Text != want {
					t.Errorf("got %q, %v, want %s", r.Text, err, want)
				}
			}
		})
	}
	wait.Wait()
}

func TestCase8ErrorsAreOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\n{{ raise_exception('no\n such\r\nrole') }}": "line 2: no  such role",
		"\n\n{% frob %}": `line 3: the statement "frob" is not supported`,
		"{{ x.y }}":      "line 1: 'x' is undefined",
		"{# c #}\n{% set a = 1 %}\n{{ a | pprint }}":    `line 3: the filter "pprint" is not supported`,
		"{% block a %}{% endblock %}":                   `line 1: the statement "block" is not supported`,
		"{{ strftime_now('%Q') }}":                      "line 1: strftime_now: the directive %Q is not supported",
		"{{ 9223372036854775807 + 1 }}":                 "line 1: integers beyond 64 bits are not supported",
		"{% if true %}\n{% for x in 1 %}\n{% endfor %}": "line 3: unexpected end of template: elif or else or endif is missing",
	} {
		template, err := Parse(text)
		if err == nil {
			_, err = template.Render(nil, Limits{})
		}
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
