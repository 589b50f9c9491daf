package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"so8t/disk"
	"so8t/version"
)

// fakePeer is a Python whose float32 is fast and whose bfloat16 is slow, as on a CPU without bfloat16 instructions, and that cannot
// compile bfloat16. dir/calls gets its command lines.
func fakePeer(t *testing.T, dir string) (python string) {
	t.Helper()
	python = filepath.Join(dir, "python")
	script := `#!/bin/sh
echo "$*" >>` + filepath.Join(dir, "calls") + `
case "$*" in
*matmul_peak*)
   echo '{"products": [{"by": "PyTorch", "type": "float32", "gflops": 1e6}, {"by": "PyTorch", "type": "bfloat16", "gflops": 7}]}'
   exit 0 ;;
*bfloat16*--compile*) echo "no C++ compiler" >&2; exit 1 ;;
*bfloat16*) speed=3 ;;
*--compile*) speed=6 ;;
*) speed=5 ;;
esac
echo '{"torch": "2.9", "transformers": "5.0", "peft": "0.18", "tokens_per_second": '$speed', "peak_bytes": 900}'
`
	if err := os.WriteFile(python, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return python
}

// TestCompare: the peer counts in its best number type, compiled or not; what the probe finds slow is not measured again; the file of
// the history names no place of this machine.
func TestCompare(t *testing.T) {
	t.Chdir("..") // for the demo's text
	dir := t.TempDir()
	history := filepath.Join(dir, "history")
	tokenizer, err := filepath.Abs("demo/base")
	if err != nil {
		t.Fatal(err)
	}
	err = run(t.Context(), []string{"compare", "--shape", "tiny", "--sequence", "32", "--rank", "4", "--threads", "1",
		"--steps", "4", "--probe-steps", "3", "--rounds", "2", "--product-seconds", "0.01", "--wait", "0", "--again", "0", "--python", fakePeer(t, dir),
		"--tokenizer", tokenizer, "--history", history})
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(history, "*_tiny_*.json"))
	if len(files) != 1 {
		t.Fatalf("history: %v", files)
	}
	var c comparison
	if err := disk.ReadJSON(files[0], &c); err != nil {
		t.Fatal(err)
	}
	if c.PEFTBest != "PEFT float32 compiled" || c.PEFT != 6 || c.PEFTCompiled != 6 || c.Ratio != c.TokensPerSecond/6 || c.TokensPerSecond <= 0 {
		t.Errorf("%+v", c)
	}
	if !strings.HasPrefix(c.Best, "so8t ") || c.PeakGFLOPS != 1e6 || c.PeakProduct.Type != "float32" ||
		c.ShareOfPeak != c.FlopsPerToken*c.TokensPerSecond/1e15 {
		t.Errorf("best %q, peak %v of %+v, share %v", c.Best, c.PeakGFLOPS, c.PeakProduct, c.ShareOfPeak)
	}
	rounds := map[string]int{}
	for _, v := range c.Variants {
		rounds[v.name()] = len(v.Rounds)
		if (v.Error == "no C++ compiler") != (v.name() == "PEFT bfloat16 compiled") {
			t.Errorf("%s: error %q", v.name(), v.Error)
		}
	}
	if len(rounds) != 6 || rounds["PEFT bfloat16"] != 0 || rounds["PEFT float32"] != 2 || rounds["PEFT float32 compiled"] != 2 {
		t.Errorf("rounds: %v", rounds)
	}
	s := c.Software
	if s.Version != version.Current() || s.Torch != "2.9" || s.Transformers != "5.0" || s.PEFT != "0.18" ||
		!strings.HasPrefix(s.OneDNN, "libdnnl.so.") || s.ISA == "" || !strings.HasPrefix(s.Go, "go1.") {
		t.Errorf("software: %v, torch %q, transformers %q, PEFT %q, %q, %q, %q", s.Version, s.Torch, s.Transformers, s.PEFT, s.OneDNN, s.ISA, s.Go)
	}
	text, _ := os.ReadFile(files[0])
	host, _ := os.Hostname()
	if strings.Contains(string(text), dir) || strings.Contains(string(text), `"/`) || (len(host) > 3 && strings.Contains(string(text), host)) {
		t.Errorf("a place of this machine is named:\n%s", text)
	}
}

func TestContenders(t *testing.T) {
	all := []*variant{{Engine: "so8t", Probe: 100}, {Engine: "so8t", Probe: 81}, {Engine: "so8t", Probe: 79},
		{Engine: "PEFT", Error: "no torch", Type: "float32"}}
	list, err := contenders(all, "so8t")
	if err != nil || len(list) != 2 || list[1].Probe != 81 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := contenders(all, "PEFT"); err == nil || !strings.Contains(err.Error(), "PEFT float32: no torch") {
		t.Errorf("a peer that never ran: %v", err)
	}
	all[1].Rounds = []float64{200, 90, 130}
	if best := fastest(all, func(*variant) bool { return true }); best != all[1] || best.speed() != 130 {
		t.Errorf("%+v, want the median of the rounds to count", best)
	}
}

func TestPeak(t *testing.T) {
	products := []product{{By: "PyTorch", Type: "float32", GFLOPS: 3}, {By: "PyTorch", Type: "bfloat16", GFLOPS: 9}, {By: "so8t", Type: "float32", GFLOPS: 4}}
	if p := peak(products, "float32"); p.GFLOPS != 4 {
		t.Errorf("float32: %+v", p)
	}
	if p := peak(products, "bfloat16"); p.GFLOPS != 9 {
		t.Errorf("bfloat16: %+v", p)
	}
	if p := peak(products[2:], "bfloat16"); p.GFLOPS != 4 { // by casting
		t.Errorf("bfloat16 without bfloat16 products: %+v", p)
	}
}
