// Package policy decides which records may teach a model: by personal data, confidentiality markers, licences, robots.txt
// and the nsfw mark. It reads texts and stored files, and fetches nothing.
package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"so8t/policy/robots"
)

// rulesVersion is raised with every change of what a rule finds, so that splits are made anew.
const rulesVersion = "so8t policy 2"

// Record is what the rules read of a record.
type Record struct {
	Texts     []Text // in the order of the conversation; masking changes them
	SourceURL string
	License   string
	NSFW      bool
	Label     string // four_class_label; empty where records have none
}

// Text is one field of a record: system, instruction, input, output, or an earlier turn (turns[0] …).
type Text struct{ Field, Text string }

// Result is what becomes of a record.
type Result int

// The results.
const (
	Keep   Result = iota
	Remove        // by a rule; does not count as bad
	Bad           // the file's fault: counts against data.max_bad_fraction
)

func (r Result) String() string { return [...]string{"keep", "remove", "bad"}[r] }

// Span is a place in a text, counted in characters (code points).
type Span struct {
	Field  string `json:"field"`
	Start  int    `json:"start"`
	Length int    `json:"length"`
}

// Mask is personal data that was replaced; Span is its place in the text before masking.
type Mask struct {
	Kind string `json:"kind"`
	Span
}

// Verdict is the first rule that applies to a record, and what was masked in it where it is kept.
type Verdict struct {
	Result Result
	Rule   string // nsfw, license, license_missing, robots, robots_missing, content_signal, pii:<kind>, confidential; nsfw_allowed, source_url
	At     Span   // zero where the rule is about no text
	Masks  []Mask
}

// Policy is a set of rules in force. It is safe for concurrent use.
type Policy struct {
	options  Options
	licenses licenses
	robots   robots.Store // nil where robots files are not required
	version  string

	keepsPersonal bool // no kind is dropped or masked: nothing to look for
}

// New checks the options and, where robots files are required, reads robots_dir. Its errors name the key.
func New(o Options) (*Policy, error) { return newAt(o, time.Now()) }

// newAt is New at a time, from which robots_max_age_days counts back.
func newAt(o Options, now time.Time) (*Policy, error) {
	if err := asError(o.Check()); err != nil {
		return nil, err
	}
	if o.Robots != "require" {
		return NewWithStore(o, nil)
	}
	folder, err := robots.Open(o.RobotsDir, time.Duration(o.RobotsMaxAgeDays)*24*time.Hour, now)
	if err != nil {
		return nil, fmt.Errorf("policy.robots_dir: %w", err)
	}
	return NewWithStore(o, folder)
}

// NewWithStore is New with the robots files of a store instead of robots_dir. The store may be nil where none are required.
func NewWithStore(o Options, store robots.Store) (*Policy, error) {
	if err := asError(o.checkValues()); err != nil {
		return nil, err
	}
	p := &Policy{options: o, licenses: newLicenses(o.Licenses)}
	if o.Robots == "require" {
		p.robots = store
	}
	p.keepsPersonal = !slices.ContainsFunc(Kinds(), func(kind string) bool { return p.action(kind) != "keep" })
	p.version = p.digest()
	return p, nil
}

func asError(faults []Fault) error {
	var all []error
	for _, f := range faults {
		all = append(all, f)
	}
	return errors.Join(all...)
}

// Version is the digest of the rules, the options and every stored robots file that a verdict may depend on.
func (p *Policy) Version() string { return p.version }

// digest leaves out how options are written: where robots_dir lies, order and case of lists, and what is not in force.
func (p *Policy) digest() string {
	o := p.options
	o.RobotsDir = ""
	o.PIIKinds = map[string]string{}
	for _, kind := range Kinds() {
		o.PIIKinds[kind] = p.action(kind)
	}
	o.PII = ""
	o.Licenses = lowerSorted(o.Licenses)
	if len(o.Licenses) == 0 {
		o.LicenseMissing = ""
	}
	o.RobotsAgents = lowerSorted(o.RobotsAgents)
	if p.robots == nil {
		o.RobotsAgents, o.RobotsMaxAgeDays, o.ContentSignals = nil, 0, ""
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // strings and finite numbers
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", rulesVersion, text)
	if p.robots != nil {
		digest := p.robots.Digest()
		h.Write(digest[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func lowerSorted(list []string) (lower []string) {
	for _, s := range list {
		lower = append(lower, strings.ToLower(s))
	}
	slices.Sort(lower)
	return slices.Compact(lower)
}

// Options are those in force.
func (p *Policy) Options() Options { return p.options }

// Err is the first stored robots file that could not be read, or was changed since New. The records that asked for it are
// removed as robots_missing; whoever ends a split without an error asks here first.
func (p *Policy) Err() error {
	if p.robots == nil {
		return nil
	}
	return p.robots.Err()
}

// Authority is the stored robots.txt that one authority's records are judged by.
type Authority struct {
	File      string `json:"file,omitempty"` // below robots_dir; empty: nothing is stored, or it is too old
	SHA256    string `json:"sha256,omitempty"`
	Status    int    `json:"status,omitempty"`
	FetchedAt string `json:"fetched_at,omitempty"`
	FinalURL  string `json:"final_url,omitempty"`
}

// Authority returns the authority of a URL, by its name in robots_dir, and what is stored for it. It is false where no
// robots.txt is asked for: they are not required, or it is no http or https URL.
func (p *Policy) Authority(sourceURL string) (name string, a Authority, ok bool) {
	if p.robots == nil {
		return "", a, false
	}
	if name, ok = robots.Authority(sourceURL); !ok {
		return "", a, false
	}
	entry, stored := p.robots.Entry(name)
	if !stored {
		return name, a, true
	}
	a = Authority{File: entry.File, Status: entry.Status, FinalURL: entry.FinalURL}
	if entry.SHA256 != [sha256.Size]byte{} {
		a.SHA256 = hex.EncodeToString(entry.SHA256[:])
	}
	if !entry.FetchedAt.IsZero() {
		a.FetchedAt = entry.FetchedAt.UTC().Format(time.RFC3339)
	}
	return name, a, true
}

// NotLookedFor lists the personal data that no rule finds.
func NotLookedFor() []string { return []string{"names", "dates of birth", "health"} }
