package policy

import (
	"bytes"
	"encoding/json"
	"fmt"

	"so8t/policy"
	"so8t/policy/robots"
)

// recordLine is a record, the keys of section policy that it is judged under (the others at their defaults), and what is
// stored of the authorities' robots.txt, by the names that robots_dir has for them.
type recordLine struct {
	asked
	Policy json.RawMessage `json:"policy"`
	Robots map[string]struct {
		Status *int    `json:"status"`
		Body   *string `json:"body"`
	} `json:"robots"`
	Record struct {
		System      string `json:"system"`
		Instruction string `json:"instruction"`
		Input       string `json:"input"`
		Output      string `json:"output"`
		Label       string `json:"four_class_label"`
		SourceURL   string `json:"source_url"`
		License     string `json:"license"`
		NSFW        bool   `json:"nsfw"`
	} `json:"record"`
}

// Records answers {id, result, rule}: keep, remove or bad.
type Records struct{ Lines }

// Run reads the lines and prints the answers.
func (c *Records) Run() error { return answerLines(c.Lines, judgeRecord) }

type recordAnswer struct {
	asked
	Result string  `json:"result"`
	Rule   *string `json:"rule"` // null where the record is kept
}

func judgeRecord(in recordLine) (any, error) {
	p, err := in.policy()
	if err != nil {
		return nil, err
	}
	r := in.Record
	verdict := p.Judge(&policy.Record{
		Texts: []policy.Text{
			{Field: "system", Text: r.System}, {Field: "instruction", Text: r.Instruction}, {Field: "input", Text: r.Input}, {Field: "output", Text: r.Output}},
		SourceURL: r.SourceURL, License: r.License, NSFW: r.NSFW, Label: r.Label})
	answer := recordAnswer{asked: in.asked, Result: verdict.Result.String()}
	if verdict.Rule != "" {
		answer.Rule = &verdict.Rule
	}
	return answer, nil
}

func (in recordLine) policy() (*policy.Policy, error) {
	options := policy.Default()
	if len(in.Policy) > 0 {
		keys := json.NewDecoder(bytes.NewReader(in.Policy))
		keys.DisallowUnknownFields()
		if err := keys.Decode(&options); err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
	}
	store := robots.Memory{}
	for authority, s := range in.Robots {
		store[authority] = stored{s.Body, s.Status}.answer()
	}
	return policy.NewWithStore(options, store)
}
