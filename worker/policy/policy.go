// Package policy is the terminal's side of the data policy: commands that try its rules on lines of JSON, one answer a line.
package policy

import "so8t/policy"

// Command holds the commands below worker policy.
type Command struct {
	Text         Text         `cmd:"" help:"Lines {id, text}: which kinds of personal data stand in each text, and the text with all of them masked."`
	Confidential Confidential `cmd:"" help:"Lines {id, text}: whether each text is itself labelled confidential."`
	Robots       Robots       `cmd:"" help:"Lines {id, robots, status, agent, url}: whether the agent may fetch the URL by that robots.txt."`
	Records      Records      `cmd:"" help:"Lines {id, policy, robots, record}: what becomes of each record under those keys, and by which rule."`
}

type textLine struct {
	asked
	Text string `json:"text"`
}

// Text answers {id, kinds, masked}.
type Text struct{ Lines }

// Run reads the lines and prints the answers.
func (c *Text) Run() error {
	return answerLines(c.Lines, func(in textLine) (any, error) {
		kinds := policy.Personal(in.Text)
		if kinds == nil {
			kinds = []string{} // [], not null
		}
		return struct {
			asked
			Kinds  []string `json:"kinds"`
			Masked string   `json:"masked"`
		}{in.asked, kinds, policy.Masked(in.Text)}, nil
	})
}

// Confidential answers {id, marked}.
type Confidential struct{ Lines }

// Run reads the lines and prints the answers.
func (c *Confidential) Run() error {
	return answerLines(c.Lines, func(in textLine) (any, error) {
		return struct {
			asked
			Marked bool `json:"marked"`
		}{in.asked, policy.Confidential(in.Text)}, nil
	})
}
