package dataset

// A policy rule looks at each well-formed record before the split and keeps or removes it. It may also change it
// (masking), in which case the changed record is what is split, rendered and digested.
//
// This file is the place for rules: write one as a type with these two methods, add it to policyRules, and it
// is applied in order, counted in policy_report.json by its name, and each removal listed there by line
// and rule, never with the text that it matched. Removals are not bad lines: they do not count against MaxBadFraction.
type policyRule interface {
	Name() string
	Keep(*Record) bool
}

// policyRules has no rule yet: personal data, confidentiality markers, robots.txt and NSFW are not looked at.
var policyRules []policyRule

// policyVersion names the rules in force. It is written into every Arrow file and takes part in recognising a
// finished split, so it must change whenever a rule does.
const policyVersion = "none"
