package policy

import "so8t/policy/robots"

// robotsLine asks whether an agent may fetch a URL. An agent that is not named is any.
type robotsLine struct {
	asked
	stored
	Agent string `json:"agent"`
	URL   string `json:"url"`
}

// stored is an authority's answer as lines hold it: the text is null where none came, and the status may be left out.
type stored struct {
	Text   *string `json:"robots"`
	Status *int    `json:"status"`
}

// answer takes a text without a status for 200, and no text without a status for no answer.
func (s stored) answer() robots.Stored {
	var a robots.Stored
	if s.Text != nil {
		a = robots.Stored{Status: 200, Text: []byte(*s.Text)}
	}
	if s.Status != nil {
		a.Status = *s.Status
	}
	return a
}

// Robots answers {id, allow}.
type Robots struct{ Lines }

// Run reads the lines and prints the answers.
func (c *Robots) Run() error { return answerLines(c.Lines, judgeRobots) }

func judgeRobots(in robotsLine) (any, error) {
	if in.Agent == "" {
		in.Agent = robots.AnyAgent
	}
	return robotsAnswer{in.asked, in.answer().Answer().Allowed(in.Agent, in.URL)}, nil
}

type robotsAnswer struct {
	asked
	Allow bool `json:"allow"`
}
