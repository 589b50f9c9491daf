package main

import (
	"fmt"
	"strings"
)

// splitTable is what a run of split measured, round by round.
type splitTable struct {
	Machine machine       `json:"machine"`
	Results []splitResult `json:"results"`
}

// splitKind is what results are compared by.
type splitKind struct {
	threads int
	policy  bool
}

// String gives a line for each number of threads without and with the policy, medians of the rounds. MB/s a core are those of a
// second of CPU time. Ratios are medians of those
// within a round, whose members ran one after another: CPU seconds with the policy to those without, and MB/s to that of the
// first number of threads.
func (t splitTable) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d cores, %s\n", t.Machine.CPU, t.Machine.Cores, strings.Join(t.Machine.InstructionSets, " "))
	b.WriteString("threads policy seconds CPU s   MB/s MB/s a core peak MB  policy/none CPU  speed-up  bytes equal\n")
	kinds, rounds := t.byKind()
	for _, k := range kinds {
		base := splitKind{kinds[0].threads, k.policy}
		var seconds, cpu, speed, aCore, peak, policy, faster []float64
		equal := true
		for i, r := range rounds[k] {
			first := rounds[base][i]
			seconds, cpu = append(seconds, r.Seconds), append(cpu, r.CPU)
			speed, aCore = append(speed, r.MB/r.Seconds), append(aCore, r.MB/r.CPU)
			peak = append(peak, float64(r.PeakBytes)/1e6)
			policy, faster = append(policy, r.CPU/rounds[splitKind{k.threads, false}][i].CPU), append(faster, first.Seconds/r.Seconds)
			equal = equal && r.SHA256 == rounds[base][0].SHA256
		}
		fmt.Fprintf(&b, "%7d %6t %7.1f %5.1f %6.2f %11.2f %7.0f %16.2f %9.2f  %t\n", k.threads, k.policy, median(seconds), median(cpu), median(speed),
			median(aCore), median(peak), median(policy), median(faster), equal)
	}
	return b.String()
}

// byKind returns the kinds in the order measured, and each one's results by round.
func (t splitTable) byKind() (kinds []splitKind, rounds map[splitKind][]splitResult) {
	rounds = map[splitKind][]splitResult{}
	for _, r := range t.Results {
		k := splitKind{r.Threads, r.Policy}
		if rounds[k] == nil {
			kinds = append(kinds, k)
		}
		rounds[k] = append(rounds[k], r)
	}
	return kinds, rounds
}
