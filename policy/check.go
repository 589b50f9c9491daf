package policy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"so8t/policy/robots"
)

// Fault is a value that an option cannot have. Key is the option's name in a configuration: policy.robots_agents[0].
type Fault struct{ Key, Text string }

func (f Fault) Error() string { return f.Key + ": " + f.Text }

// Check returns what is wrong with the options. It opens no file.
func (o Options) Check() []Fault {
	faults := o.checkValues()
	if o.Robots == "require" && o.RobotsDir == "" {
		faults = append(faults, Fault{"policy.robots", "require needs policy.robots_dir"})
	}
	return faults
}

// checkValues is Check for a policy that may have its robots files from elsewhere than robots_dir.
func (o Options) checkValues() (faults []Fault) {
	add := func(key, format string, args ...any) {
		faults = append(faults, Fault{"policy." + key, fmt.Sprintf(format, args...)})
	}
	oneOf := func(key, value string, want ...string) {
		if !slices.Contains(want, value) {
			add(key, "%q: want %s", value, strings.Join(want, ", "))
		}
	}
	oneOf("pii", o.PII, "drop", "mask", "keep")
	for _, kind := range slices.Sorted(maps.Keys(o.PIIKinds)) {
		if !slices.Contains(Kinds(), kind) {
			add("pii_kinds."+kind, "unknown kind; known are %s", strings.Join(Kinds(), ", "))
			continue
		}
		oneOf("pii_kinds."+kind, o.PIIKinds[kind], "drop", "mask", "keep")
	}
	oneOf("confidential", o.Confidential, "drop", "keep")
	for i, id := range o.Licenses {
		if !isLicenseID(id) {
			add(fmt.Sprintf("licenses[%d]", i), "%q is no SPDX identifier (letters, digits, - and .; one licence an entry)", id)
		}
	}
	oneOf("license_missing", o.LicenseMissing, "keep", "drop")
	oneOf("robots", o.Robots, "off", "require")
	if o.Robots == "require" && len(o.RobotsAgents) == 0 {
		add("robots_agents", `empty; "*" stands for any agent`)
	}
	for i, agent := range o.RobotsAgents {
		if agent != robots.AnyAgent && !robots.IsProductToken(agent) {
			add(fmt.Sprintf("robots_agents[%d]", i), "%q is no product token (RFC 9309: letters, _ and -)", agent)
		}
	}
	if o.RobotsMaxAgeDays < 0 || o.RobotsMaxAgeDays > maxAgeDays {
		add("robots_max_age_days", "%d: want 0 (any age) to %d", o.RobotsMaxAgeDays, maxAgeDays)
	}
	oneOf("content_signals", o.ContentSignals, "honour", "ignore")
	oneOf("nsfw", o.NSFW, "teach", "drop")
	oneOf("near_duplicates", o.NearDuplicates, "off", "report", "drop")
	if t := o.NearDuplicateThreshold; math.IsNaN(t) || t <= 0 || t > 1 {
		add("near_duplicate_threshold", "%v: want more than 0, at most 1", t)
	}
	return faults
}

// maxAgeDays keeps an age within time.Duration.
const maxAgeDays = 100_000
