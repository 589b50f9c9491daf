package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"so8t/device"
	"so8t/disk"
)

// This program is its own child, in tests too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		main()
		return
	}
	os.Exit(m.Run())
}

// parse gives the flags of bench cuda as Run sees them.
func parse(t *testing.T, args ...string) (*cudaCommand, error) {
	t.Helper()
	var c commands
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"cuda"}, args...)); err != nil {
		return nil, err
	}
	c.Cuda.settle()
	return &c.Cuda, nil
}

func TestCudaFlags(t *testing.T) {
	c, err := parse(t, "--python", "p")
	if err != nil || !slices.Equal(c.Batches, []int{1, 2, 4, 8}) || len(c.Parts) != 5 ||
		c.Limit >= 10*time.Minute || c.perStep != 16 || len(c.lengths) != 128 || !c.Int8Peer {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err = parse(t, "--quick"); err != nil || !slices.Equal(c.Batches, []int{1, 4}) || c.Steps != 5 || c.Stepping != 4*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
	c, err = parse(t, "--quick", "--batches", "2,32", "--parts", "mix,stall")
	if err != nil || !slices.Equal(c.Batches, []int{2, 32}) || !slices.Equal(c.Parts, []string{"mix", "stall"}) || c.perStep != 32 || c.Int8Peer {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range [][]string{{"-shape", "tiny"}, {"--batches", "1,x"}, {"--batches", "0"},
		{"--parts", "fixed,nothing"}, {"--steps", "2"}, {"--shape", "70b"}} {
		if _, err := parse(t, bad...); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

func TestMixLengths(t *testing.T) {
	lengths := mixLengths(4096, 2048)
	if !slices.Equal(lengths[:128], mixLengths(128, 2048)) {
		t.Error("the lengths differ from run to run")
	}
	sorted := slices.Sorted(slices.Values(lengths))
	// The median's standard error is 0.6·350/√4096·1.25 = 4.
	if m := sorted[len(sorted)/2]; math.Abs(float64(m)-350) > 20 || sorted[0] < 16 || sorted[len(sorted)-1] > 2048 {
		t.Errorf("median %d, from %d to %d", m, sorted[0], sorted[len(sorted)-1])
	}
	if n := meanContext([]int{100, 300}); n != 250 {
		t.Errorf("context %d, want (100² + 300²) ÷ 400", n)
	}
}

func TestShares(t *testing.T) {
	c, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	bf16, _ := shapes["phi35"].leastSeconds(2048, 64, false)
	_, int8 := shapes["phi35"].leastSeconds(2048, 64, true)
	fixed := trainRun{Work: "fixed", TokensPerSecond: 0.5 / bf16}
	fixed.shares(shapes["phi35"], c)
	again := trainRun{Work: "fixed", Recompute: true, TokensPerSecond: 0.5 / int8}
	again.shares(shapes["phi35"], c)
	if math.Abs(fixed.BF16Floor-0.5) > 1e-9 || math.Abs(again.Int8Floor-0.5) > 1e-9 {
		t.Errorf("%v and %v, want halves", fixed.BF16Floor, again.Int8Floor)
	}
	// Less attention: a little more would be possible. It is 7 % of the arithmetic at 2,048 tokens.
	mix := trainRun{Work: "mix", TokensPerSecond: 0.5 / bf16}
	mix.shares(shapes["phi35"], c)
	if mix.BF16Floor >= fixed.BF16Floor || mix.BF16Floor < 0.93*fixed.BF16Floor {
		t.Errorf("mix %v, fixed %v", mix.BF16Floor, fixed.BF16Floor)
	}
	c.Device = device.Device{Kind: device.CPU}
	cpu := trainRun{Work: "fixed", TokensPerSecond: 1}
	if cpu.shares(shapes["phi35"], c); cpu.BF16Floor != 0 {
		t.Error("a CPU was held against a GPU's arithmetic")
	}
}

func TestSummary(t *testing.T) {
	run := func(engine, work string, recompute bool, batch int, speed float64, e string) trainRun {
		return trainRun{Engine: engine, Variant: "bf16", Work: work, Recompute: recompute, Batch: batch, TokensPerSecond: speed, Error: e,
			DevicePeak: uint64(batch) << 30}
	}
	c := cudaReport{Runs: []trainRun{
		run("so8t", "fixed", false, 1, 900, ""), run("so8t", "fixed", false, 2, 1000, ""), run("so8t", "fixed", false, 4, 9999, "out of memory"),
		run("PEFT", "fixed", false, 4, 500, ""), run("PEFT", "fixed", false, 8, 0, "out of memory"), run("so8t", "fixed", true, 8, 800, ""),
		run("so8t", "mix", true, 1, 700, ""),
	}}
	want := []string{
		"fixed, no recomputation: 1000 tokens/s at batch 2, 2.00 × PEFT's best (bf16, batch 4, 500) with 0.50 of its memory",
		"fixed, recomputation: 800 tokens/s at batch 8",
		"fixed, whichever is faster: 1000 tokens/s at batch 2, 2.00 × PEFT's best (bf16, batch 4, 500) with 0.50 of its memory",
		"mix, recomputation: 700 tokens/s at batch 1",
		"mix, whichever is faster: 700 tokens/s at batch 1",
	}
	if got := c.summary(); !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	c.Bandwidth = &bandwidthResult{BytesPerSecond: 1000}
	got := c.decodeLine(decodeResult{Batch: 2, TokensPerSecond: 20, WeightBytes: 40, CacheBytes: 20, FirstSeconds: 0.5})
	if !strings.Contains(got, "40 % of") || !strings.Contains(got, "60 % with the cache") {
		t.Error(got)
	}
	if (&cudaReport{Runs: c.Runs[2:3]}).measured() {
		t.Error("out of memory is no measurement")
	}
}

// TestCudaOnTheCPU runs the whole tool on the smallest shape, against a peer that loses one batch and never ends.
func TestCudaOnTheCPU(t *testing.T) {
	dir := t.TempDir()
	python, out, imports := filepath.Join(dir, "python"), filepath.Join(dir, "cuda.json"), filepath.Join(dir, "imports")
	script := `#!/bin/sh
case "$*" in
-c*) echo once >>` + imports + `; echo '{"bitsandbytes": "ModuleNotFoundError: no bitsandbytes"}' ;;
*--lengths*) echo "Traceback" >&2; echo "CUDA error: unspecified" >&2; exit 1 ;;
*) echo noise
   echo '{"batch": 1, "tokens_per_second": 10, "peak_bytes": 5, "torch": "2.9", "step_seconds": [1, 2]}'
   echo '{"batch": 2, "error": "out of memory: 3 GiB"}'
   echo 'a warning' >&2
   exec sleep 60 ;;
esac
`
	if err := os.WriteFile(python, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), []string{"cuda", "--shape", "tiny", "--device", "cpu", "--sequence", "32", "--batches", "1,2", "--steps", "3", "--quick",
		"--rank", "4", "--threads", "2", "--python", python, "--child", "6s", "--work", dir, "--out", out, "--parts", "fixed,mix,decode,stall"})
	if err != nil {
		t.Fatal(err)
	}
	var r cudaReport
	if err := disk.ReadJSON(out, &r); err != nil {
		t.Fatal(err)
	}
	checkRuns(t, r.Runs)
	if r.Stall == nil || r.Stall.CallSeconds <= 0 || r.Bandwidth == nil || r.Bandwidth.BytesPerSecond < 1e8 || r.Torch != "2.9" {
		t.Errorf("stall %+v, bandwidth %+v, torch %q", r.Stall, r.Bandwidth, r.Torch)
	}
	if len(r.Decode) != 2 || r.Decode[0].TokensPerSecond <= 0 || r.Decode[1].Batch != 64 {
		t.Errorf("decode %+v", r.Decode)
	}
	if text, _ := os.ReadFile(imports); string(text) != "once\n" { // fixed and mix have the same peer
		t.Errorf("the peer was imported %d times to see whether it is there", strings.Count(string(text), "once"))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "so8t-bench-cuda-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func checkRuns(t *testing.T, runs []trainRun) {
	t.Helper()
	errors, ours := map[string]string{}, 0
	for _, run := range runs {
		name := run.Engine + " " + run.Work
		if run.Engine == "so8t" && run.Error == "" && run.TokensPerSecond > 0 && run.DevicePeak > 0 && len(run.Memory) > 0 {
			ours++
		} else {
			errors[name] += run.Error
		}
		if name == "PEFT fixed" && run.Batch == 1 && run.TokensPerSecond != 10 {
			t.Errorf("PEFT: %+v", run)
		}
	}
	if ours != 4 || errors["PEFT mix"] != "CUDA error: unspecified" || !strings.Contains(errors["PEFT fixed"], "out of memory") ||
		!strings.Contains(errors["PEFT fixed"], "it took more than 6s") {
		t.Errorf("%d measurements of this engine; what failed: %v", ours, errors)
	}
}

// Without time left, every measurement's error says so, and the run fails.
func TestCudaOutOfTime(t *testing.T) {
	out := filepath.Join(t.TempDir(), "cuda.json")
	err := run(t.Context(), []string{"cuda", "--shape", "tiny", "--device", "cpu", "--batches", "1", "--python=",
		"--limit", "300ms", "--work", t.TempDir(), "--out", out})
	text, _ := os.ReadFile(out)
	if err == nil || (!strings.Contains(string(text), "no time left") && !strings.Contains(err.Error(), "deadline")) {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestImportsAreAskedOnce: importing torch takes seconds, so that one process answers for every module, variant and cell of the table.
func TestImportsAreAskedOnce(t *testing.T) {
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	for _, name := range []string{"torch", "transformers", "peft"} {
		if err := os.WriteFile(filepath.Join(dir, name+".py"), []byte("open("+strconv.Quote(asked)+", 'a').write('"+name+" ')\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := parse(t, "--python", "python3")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PYTHONPATH", dir)
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	b := &cudaBench{cudaCommand: c, ctx: t.Context()}
	for range 4 { // fixed and mix, with and without recomputation
		if why := b.whyMissing("bf16"); why != "" {
			t.Error(why)
		}
		if why := b.whyMissing("int8"); !strings.Contains(why, "No module named 'bitsandbytes'") {
			t.Errorf("int8: %q", why)
		}
	}
	if text, _ := os.ReadFile(asked); string(text) != "torch transformers peft " {
		t.Errorf("imported: %s", text)
	}
	if err := os.Remove(filepath.Join(dir, "peft.py")); err != nil {
		t.Fatal(err)
	}
	b = &cudaBench{cudaCommand: c, ctx: t.Context()}
	if why := b.whyMissing("bf16"); !strings.Contains(why, "No module named 'peft'") {
		t.Errorf("without peft: %q", why)
	}
	c.Python = filepath.Join(dir, "none")
	b = &cudaBench{cudaCommand: c, ctx: t.Context()}
	if why := b.whyMissing("bf16"); !strings.Contains(why, "no such file") {
		t.Errorf("without Python: %q", why)
	}
}

// TestFloors: an H100 at 790 TFLOP/s, over Phi-3.5-mini's 16.8 GFLOP a token at 2,048 tokens (24.7 with recomputation).
func TestFloors(t *testing.T) {
	for recompute, want := range map[bool]float64{false: 46_700, true: 31_900} {
		bf16, _ := shapes["phi35"].leastSeconds(2048, 64, recompute)
		if got := 1 / bf16; math.Abs(got/want-1) > 0.01 {
			t.Errorf("recomputation %v: at most %.0f tokens/s, want %.0f", recompute, got, want)
		}
	}
}
