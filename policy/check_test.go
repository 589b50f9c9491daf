package policy

import (
	"math"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	if faults := Default().Check(); len(faults) > 0 {
		t.Errorf("the defaults: %v", faults)
	}
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.PII = "" }, `policy.pii: "": want drop, mask, keep`},
		{func(o *Options) { o.PII = "Drop" }, `policy.pii: "Drop": want drop, mask, keep`},
		{func(o *Options) { o.PIIKinds = map[string]string{"e-mail": "drop"} }, "policy.pii_kinds.e-mail: unknown kind; known are "},
		{func(o *Options) { o.PIIKinds = map[string]string{"email": "hide"} }, `policy.pii_kinds.email: "hide": want drop, mask, keep`},
		{func(o *Options) { o.Confidential = "mask" }, `policy.confidential: "mask": want drop, keep`},
		{func(o *Options) { o.Licenses = []string{"MIT", "CC BY 4.0"} }, `policy.licenses[1]: "CC BY 4.0" is no SPDX identifier`},
		{func(o *Options) { o.Licenses = []string{"MIT OR Apache-2.0"} }, `policy.licenses[0]: "MIT OR Apache-2.0" is no SPDX`},
		{func(o *Options) { o.Licenses = []string{""} }, `policy.licenses[0]: "" is no SPDX`},
		{func(o *Options) { o.Licenses = []string{"or"} }, `policy.licenses[0]: "or" is no SPDX`},
		{func(o *Options) { o.LicenseMissing = "mask" }, `policy.license_missing: "mask": want keep, drop`},
		{func(o *Options) { o.Robots = "on" }, `policy.robots: "on": want off, require`},
		{func(o *Options) { o.Robots = "require" }, "policy.robots: require needs policy.robots_dir"},
		{func(o *Options) { o.Robots, o.RobotsDir, o.RobotsAgents = "require", "/x", nil }, "policy.robots_agents: empty"},
		{func(o *Options) { o.RobotsAgents = []string{"so8t"} }, `policy.robots_agents[0]: "so8t" is no product token (RFC 9309: letters, _ and -)`},
		{func(o *Options) { o.RobotsAgents = []string{"*", "a/1"} }, `policy.robots_agents[1]: "a/1" is no product token`},
		{func(o *Options) { o.RobotsMaxAgeDays = -1 }, "policy.robots_max_age_days: -1: want 0 (any age) to 100000"},
		{func(o *Options) { o.ContentSignals = "honor" }, `policy.content_signals: "honor": want honour, ignore`},
		{func(o *Options) { o.NSFW = "keep" }, `policy.nsfw: "keep": want teach, drop`},
		{func(o *Options) { o.NearDuplicates = "on" }, `policy.near_duplicates: "on": want off, report, drop`},
		{func(o *Options) { o.NearDuplicateThreshold = 0 }, "policy.near_duplicate_threshold: 0: want more than 0, at most 1"},
		{func(o *Options) { o.NearDuplicateThreshold = math.NaN() }, "policy.near_duplicate_threshold: NaN"},
	} {
		o := Default()
		c.change(&o)
		faults := o.Check()
		if len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), c.want) {
			t.Errorf("%v, want %s", faults, c.want)
		}
		if _, err := New(o); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("New: %v, want %s", err, c.want)
		}
	}
	o := Default()
	o.PII, o.NSFW = "", ""
	if _, err := New(o); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two faults: %v", err)
	}
	o = Default()
	o.Licenses = []string{"MIT", "gpl-2.0+", "LicenseRef-mine", "DocumentRef-a:LicenseRef-b", "0BSD"}
	o.RobotsAgents = []string{"*", "CCBot", "my_bot-x"}
	if faults := o.Check(); len(faults) > 0 {
		t.Error(faults)
	}
}

func TestLicense(t *testing.T) {
	listed := newLicenses([]string{"MIT", "Apache-2.0", "CC-BY-4.0", "LicenseRef-mine", "EPL-2.0+"})
	deep := strings.Repeat("(", 2000) + "MIT" + strings.Repeat(")", 2000)
	for expression, want := range map[string]bool{
		"MIT": true, "mit": true, "Mit": true, "MIT-0": false, "GPL-3.0-only": false, "proprietary": false, "CC-BY-3.0": false, "CC BY 4.0": false,
		"MIT OR GPL-3.0-only": true, "GPL-3.0-only OR MIT": true, "GPL-3.0-only OR GPL-2.0-only": false, "MIT AND Apache-2.0": true,
		"MIT AND GPL-3.0-only": false, "mit or gpl-3.0-only": true, "MIT and GPL-3.0-only": false, "MIT Or GPL-3.0-only": false,
		"MIT AND GPL-3.0-only OR Apache-2.0": true, "GPL-3.0-only AND (MIT OR Apache-2.0)": false, "(GPL-3.0-only AND MIT) OR MIT": true,
		"MIT OR GPL-3.0-only AND GPL-2.0-only": true, "(MIT OR GPL-3.0-only) AND GPL-2.0-only": false, "(MIT)": true, "( mit )": true,
		"((MIT) AND (Apache-2.0))":       true,
		"Apache-2.0 WITH LLVM-exception": true, "GPL-2.0-only WITH Classpath-exception-2.0": false, "MIT AND Apache-2.0 WITH LLVM-exception": true,
		"Apache-2.0+": true, "EPL-2.0": true, "EPL-2.0+": true, "EPL-1.0": false, "LicenseRef-mine": true, "DocumentRef-x:LicenseRef-mine": false,
		"MIT OR": false, "OR MIT": false, "MIT AND": false, "(MIT": false, "MIT)": false, "()": false, "MIT MIT": false, "MIT WITH": false,
		"MIT WITH OR":   false,
		"MIT OR OR MIT": false, "MIT, Apache-2.0": false, "MIT/Apache-2.0": false, "MIT OR (Apache-2.0": false, "MIT OR \u4e0d\u660e": false,
		"MIT+ OR x": true, "MIT++": false, "MIT +": false, deep: true, "MIT OR " + strings.Repeat("x", maxLicense): false,
	} {
		if got := listed.permit(expression); got != want {
			t.Errorf("%.60q is listed: %v", expression, got)
		}
	}
}
