package main

import (
	"strings"
	"testing"
)

func TestSplitTable(t *testing.T) {
	table := splitTable{Machine: machine{CPU: "A CPU", InstructionSets: []string{"avx2", "amx_int8"}, Cores: 2}}
	for _, slow := range []float64{1, 3, 1.5} { // a loaded machine slows all of a round
		table.Results = append(table.Results,
			splitResult{Threads: 1, Seconds: 10 * slow, CPU: 8 * slow, MB: 80, PeakBytes: 100e6, SHA256: "a"},
			splitResult{Threads: 2, Seconds: 5 * slow, CPU: 10 * slow, MB: 80, PeakBytes: 120e6, SHA256: "a"},
			splitResult{Threads: 1, Policy: true, Seconds: 12 * slow, CPU: 10 * slow, MB: 80, PeakBytes: 110e6, SHA256: "b"},
			splitResult{Threads: 2, Policy: true, Seconds: 8 * slow, CPU: 11 * slow, MB: 80, PeakBytes: 130e6, SHA256: "b"})
	}
	table.Results[11].SHA256 = "c"
	want := `A CPU, 2 cores, avx2 amx_int8
threads policy seconds CPU s   MB/s MB/s a core peak MB  policy/none CPU  speed-up  bytes equal
      1  false    15.0  12.0   5.33        6.67     100             1.00      1.00  true
      2  false     7.5  15.0  10.67        5.33     120             1.00      2.00  true
      1   true    18.0  15.0   4.44        5.33     110             1.25      1.00  true
      2   true    12.0  16.5   6.67        4.85     130             1.10      1.50  false
`
	if got := table.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if !strings.HasPrefix(splitTable{}.String(), ", 0 cores") {
		t.Error("a table without results")
	}
}
