// Package policy decides which records may teach a model: by personal data, confidentiality markers, licences, robots.txt
// and the nsfw mark. It reads texts and stored files, fetches nothing, and imports nothing of this project.
package policy

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
	options Options
}

// New checks the options and reads the index of robots_dir.
func New(o Options) (*Policy, error) { return &Policy{o}, nil }

// Judge applies the rules in order (nsfw, source_url, license, robots, pii, confidential), and masks in r.Texts what is to be masked.
func (p *Policy) Judge(r *Record) Verdict { return Verdict{} }

// Version is the digest of the rules, the options and every stored robots file that a verdict may depend on.
func (p *Policy) Version() string { return "skeleton" }

// Options are those in force.
func (p *Policy) Options() Options { return p.options }

// Authority says what was found for one authority's records.
type Authority struct {
	File      string `json:"file,omitempty"` // empty: nothing is stored
	SHA256    string `json:"sha256,omitempty"`
	Status    int    `json:"status,omitempty"`
	FetchedAt string `json:"fetched_at,omitempty"`
}

// Authority returns what is stored for a URL's authority, and the authority's name as robots_dir spells it.
func (p *Policy) Authority(sourceURL string) (name string, a Authority, ok bool) {
	return "", Authority{}, false
}

// NotLookedFor lists the personal data that no rule finds.
func NotLookedFor() []string { return []string{"names", "dates of birth", "health"} }
