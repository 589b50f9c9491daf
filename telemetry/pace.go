package telemetry

import "time"

// Pace averages the last steps, and remembers how long other work took last.
type Pace struct {
	window []timedStep

	Save       time.Duration // last background save, to within a step
	Validation time.Duration // last validation
}

type timedStep struct {
	tokens, samples int
	took            time.Duration
}

const paceSteps = 20

// Add counts an optimizer step.
func (p *Pace) Add(tokens, samples int, took time.Duration) {
	p.window = append(p.window, timedStep{tokens, samples, took})
	if len(p.window) > paceSteps {
		p.window = p.window[1:]
	}
}

func (p *Pace) sums() (tokens, samples int, seconds float64) {
	for _, s := range p.window {
		tokens, samples, seconds = tokens+s.tokens, samples+s.samples, seconds+s.took.Seconds()
	}
	return tokens, samples, max(seconds, 1e-9)
}

func (p *Pace) TokensPerSecond() float64 {
	tokens, _, seconds := p.sums()
	return float64(tokens) / seconds
}

func (p *Pace) SamplesPerSecond() float64 {
	_, samples, seconds := p.sums()
	return float64(samples) / seconds
}

// SecondsPerStep times a number of steps is the time they will take.
func (p *Pace) SecondsPerStep() float64 {
	_, _, seconds := p.sums()
	return seconds / float64(max(len(p.window), 1))
}

// NextStep is how long the next step will take.
func (p *Pace) NextStep() time.Duration {
	return time.Duration(p.SecondsPerStep() * float64(time.Second))
}
