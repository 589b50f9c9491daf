package policy

// Options are the keys of the section policy. Default returns those of a run that names none; a zero Options is refused.
type Options struct {
	// PII is what becomes of a record with personal data: drop, mask or keep.
	PII string `json:"pii"`
	// PIIKinds overrides PII for single kinds (Kinds lists them): drop, mask or keep.
	PIIKinds map[string]string `json:"pii_kinds"`
	// Confidential is what becomes of a record whose text is itself labelled confidential: drop or keep.
	Confidential string `json:"confidential"`
	// Licenses are the SPDX identifiers that a record's licence must be among; empty: any licence is kept.
	Licenses []string `json:"licenses"`
	// LicenseMissing is what becomes of a record without a licence where Licenses is not empty: keep or drop.
	LicenseMissing string `json:"license_missing"`
	// Robots is require (a record with a source_url is kept only if the stored robots.txt of its authority allows it) or off.
	Robots string `json:"robots"`
	// RobotsDir is the folder that robots.Folder describes: data.example.co.jp/robots.txt and meta.json, host_8443/robots.txt.
	RobotsDir string `json:"robots_dir"`
	// RobotsAgents are product tokens, each of which must be allowed. "*" stands for any agent.
	RobotsAgents []string `json:"robots_agents"`
	// RobotsMaxAgeDays makes files fetched longer ago count as missing; 0: none is too old.
	RobotsMaxAgeDays int `json:"robots_max_age_days"`
	// ContentSignals is honour (Content-Signal: ai-train=no removes a record) or ignore.
	ContentSignals string `json:"content_signals"`
	// NSFW is teach (records marked nsfw teach DENY, REFUSE and ESCALATION; ALLOW is a bad line) or drop.
	NSFW string `json:"nsfw"`
	// NearDuplicates is what becomes of validation and test records that resemble one in train: off, report or drop.
	NearDuplicates string `json:"near_duplicates"`
	// NearDuplicateThreshold is the least Jaccard similarity, of the prompts' character 5-grams, at which records are near.
	NearDuplicateThreshold float64 `json:"near_duplicate_threshold"`
}

// Default is the policy of a run that names none.
func Default() Options {
	return Options{PII: "drop", PIIKinds: map[string]string{"corporate_number": "keep"}, Confidential: "drop", LicenseMissing: "keep", Robots: "off",
		RobotsAgents: []string{"*"}, ContentSignals: "honour", NSFW: "teach", NearDuplicates: "report", NearDuplicateThreshold: 0.8}
}
