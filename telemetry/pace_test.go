package telemetry

import (
	"testing"
	"time"
)

func TestPaceIsThatOfTheLastSteps(t *testing.T) {
	p := &Pace{}
	if p.NextStep() > time.Microsecond || p.TokensPerSecond() != 0 {
		t.Errorf("before the first step: %v", p.NextStep())
	}
	p.Add(1000, 8, time.Hour) // an outlier, soon forgotten
	for range paceSteps {
		p.Add(100, 4, 2*time.Second)
	}
	if p.TokensPerSecond() != 50 || p.SamplesPerSecond() != 2 || p.SecondsPerStep() != 2 || p.NextStep() != 2*time.Second {
		t.Errorf("%v tokens/s, %v samples/s, %v s a step", p.TokensPerSecond(), p.SamplesPerSecond(), p.SecondsPerStep())
	}
}
