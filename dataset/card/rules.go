package card

import (
	"cmp"
	"fmt"
	"strings"

	"so8t/page"
	"so8t/policy"
)

// hasPolicy is false for splits made without one; earlier versions wrote "none", or nothing.
func (f facts) hasPolicy() bool { return f.r.PolicyVersion != "" && f.r.PolicyVersion != "none" }

// lookedForPersonal reports whether a kind of personal data was not simply kept.
func (f facts) lookedForPersonal() bool {
	const keep = "keep"
	for _, kind := range policy.Kinds() {
		if cmp.Or(f.r.Policy.PIIKinds[kind], f.r.Policy.PII) != keep {
			return f.hasPolicy()
		}
	}
	return false
}

// personal says what became of personal data.
func (f facts) personal() section {
	s := section{ID: "personal-data", Title: "Personal data"}
	if !f.lookedForPersonal() {
		s.Says = []string{"Personal data was not looked for."}
		return s
	}
	all := map[string]int64{}
	for kind, n := range f.r.PIIByKind {
		all[kind] += n
	}
	for kind, n := range f.r.MaskedByKind {
		all[kind] += n
	}
	if len(all) == 0 {
		s.Says = []string{"None of the kinds that were looked for was removed or masked."}
	} else {
		t := table{Head: []column{{Name: "kind"}, {Name: "records removed", Number: true}, {Name: "places masked", Number: true}}}
		t.Rows, t.Note = ranked(all, func(kind string, _ int64) []string {
			return []string{inWords(kind, kinds), page.Number(f.r.PIIByKind[kind]), page.Number(f.r.MaskedByKind[kind])}
		})
		s.Tables = []table{t}
	}
	if len(f.r.NotLookedFor) > 0 {
		s.Says = append(s.Says, fmt.Sprintf("Not looked for: %s. Whatever of these stands in the records is still there.", list(f.r.NotLookedFor)))
	}
	return s
}

func (f facts) licences() section {
	s := section{ID: "licences", Title: "Licences"}
	if len(f.r.Licenses) == 0 {
		return s
	}
	t := table{Head: []column{{Name: "licence as the records name it"}, {Name: "records", Number: true}, {Name: "of all", Number: true}}}
	t.Rows, t.Note = ranked(f.r.Licenses, func(key string, n int64) []string {
		if key == "" {
			key = "none"
		}
		return []string{key, page.Number(n), share(n, f.r.Lines)}
	})
	s.Tables = []table{t}
	return s
}

// robots lists whose robots.txt was asked. Where the policy does not ask, there is nothing to say.
func (f facts) robots() section {
	s := section{ID: "robots", Title: "robots.txt of the sources"}
	records := map[string]int64{}
	for authority, use := range f.r.Robots {
		records[authority] = use.Records
	}
	if len(records) > 0 {
		t := table{Head: []column{{Name: "site"}, {Name: "records", Number: true}, {Name: "removed", Number: true}, {Name: "answer", Number: true},
			{Name: "fetched"}, {Name: "SHA-256"}}}
		t.Rows, t.Note = ranked(records, func(authority string, n int64) []string {
			use := f.r.Robots[authority]
			status := ""
			if use.Status != 0 {
				status = fmt.Sprint(use.Status)
			}
			return []string{authority, page.Number(n), page.Number(use.Removed), status, use.FetchedAt, use.SHA256}
		})
		s.Tables = []table{t}
	}
	if len(f.r.MissingRobots) > 0 {
		s.Says = append(s.Says, fmt.Sprintf("No robots.txt is stored for %s.", list(f.r.MissingRobots)))
	}
	return s
}

// policy lists the keys in force.
func (f facts) policy() section {
	s := section{ID: "policy", Title: "Policy in force"}
	if !f.hasPolicy() {
		s.Says = []string{"None."}
		return s
	}
	o := f.r.Policy
	t := table{Head: []column{{Name: "key"}, {Name: "value"}}}
	add := func(key string, value any) { t.Rows = append(t.Rows, []string{"policy." + key, fmt.Sprint(value)}) }
	orNone := func(values []string, none string) string {
		if len(values) == 0 {
			return none
		}
		return list(values)
	}
	add("pii", o.PII)
	kinds, _ := ranked(ones(o.PIIKinds), func(kind string, _ int64) []string { return []string{kind + ": " + o.PIIKinds[kind]} })
	var said []string
	for _, row := range kinds {
		said = append(said, row...)
	}
	add("pii_kinds", orNone(said, "as policy.pii"))
	add("confidential", o.Confidential)
	add("licenses", orNone(o.Licenses, "all"))
	add("license_missing", o.LicenseMissing)
	add("robots", o.Robots)
	if o.Robots == "require" {
		add("robots_dir", o.RobotsDir)
		add("robots_agents", strings.Join(o.RobotsAgents, ", "))
		add("robots_max_age_days", o.RobotsMaxAgeDays)
		add("content_signals", o.ContentSignals)
	}
	add("nsfw", o.NSFW)
	add("near_duplicates", o.NearDuplicates)
	if o.NearDuplicates != "off" {
		add("near_duplicate_threshold", o.NearDuplicateThreshold)
	}
	s.Tables = []table{t}
	s.Says = []string{fmt.Sprintf("Version %s: it changes with the rules, with the keys and with every robots.txt that was read.", f.r.PolicyVersion)}
	return s
}

// ones gives every key the count 1, so that ranked sorts by name.
func ones(of map[string]string) map[string]int64 {
	out := map[string]int64{}
	for key := range of {
		out[key] = 1
	}
	return out
}
