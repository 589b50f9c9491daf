package native

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// proofs runs attention by a context of its own, as a run that begins or goes on.
type proofs struct {
	t     *testing.T
	shape attentionShape
	file  string // of algorithms
}

// run returns the results' bits, how often cuDNN was executed, and what was said on stderr.
func (p proofs) run(wanted, fault string) (bits []byte, executions int, said string) {
	p.t.Helper()
	counted, stderr := filepath.Join(p.t.TempDir(), "executions"), filepath.Join(p.t.TempDir(), "stderr")
	p.t.Setenv("SO8T_EMULATED_EXECUTIONS", counted)
	p.t.Setenv("SO8T_EMULATED_FAULT", fault)
	d, err := deviceWithCuDNN(p.t, wanted, p.file)
	if err != nil {
		p.t.Fatal(err)
	}
	restore := redirectStderr(p.t, stderr)
	bits = attentionWith(p.t, d, BFloat16, p.shape)
	restore()
	if text, err := os.ReadFile(counted); err == nil {
		executions = strings.Count(string(text), "\n")
	}
	return bits, executions, chosen(p.t, stderr)
}

// redirectStderr sends what the library writes to a file until it is called.
func redirectStderr(t *testing.T, path string) (restore func()) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := syscall.Dup(2)
	if err == nil {
		err = syscall.Dup3(int(f.Fd()), 2, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Dup3(saved, 2, 0); err != nil {
			t.Fatal(err)
		}
		syscall.Close(saved)
		f.Close()
	}
}

// without takes the lines of a pass from a file of algorithms.
func without(t *testing.T, path, pass string) {
	t.Helper()
	var kept []string
	for line := range strings.Lines(chosen(t, path)) {
		if !strings.Contains(line, " attention "+pass+" ") {
			kept = append(kept, line)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(kept, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// enginesIn are the first bytes of what a file holds by pass: an engine, or ff where it is refused.
func enginesIn(t *testing.T, path string) map[string]string {
	t.Helper()
	engines := map[string]string{}
	for _, m := range regexp.MustCompile(`attention (forward|backward) [^|]*\| ([0-9a-f]{2})`).FindAllStringSubmatch(chosen(t, path), -1) {
		engines[m[1]] += m[2]
	}
	return engines
}

var provedShape = attentionShape{[]int{40, 30}, 4, 2, 32, 0}

// A plan is proved by its first call: two executions with the same bits, which the own kernels confirm. A context that finds it
// in the file runs it once a call.
func TestCuDNNIsProved(t *testing.T) {
	p := proofs{t, provedShape, filepath.Join(t.TempDir(), "choices")}
	for _, x := range []struct {
		wanted     string
		executions int
	}{{"auto", 4}, {"auto", 2}, {"cudnn", 2}} {
		bits, executions, said := p.run(x.wanted, "")
		if first, _, _ := (proofs{t, provedShape, ""}).run("cudnn", ""); !bytes.Equal(bits, first) {
			t.Error("a plan's bits depend on whether it is proved")
		}
		if executions != x.executions || said != "" {
			t.Errorf("%d executions, not %d; said %q", executions, x.executions, said)
		}
		if e := enginesIn(t, p.file); e["forward"] != "02" || e["backward"] != "06" {
			t.Errorf("the file holds %v", e)
		}
	}
	// Its line stays in the file, whatever another context finds.
	if _, executions, said := p.run("auto", "cudnn_unordered"); executions != 2 || said != "" {
		t.Errorf("proved again: %d executions, %q", executions, said)
	}
}

// A plan that is wrong, or adds in no fixed order, or fails costs nothing but its speed.
func TestCuDNNIsRefused(t *testing.T) {
	own, _, _ := (proofs{t, provedShape, ""}).run("own", "")
	for fault, want := range map[string]struct {
		executions int
		said       string
	}{
		"cudnn_wrong":     {4, `out differs by [\d.]+ from this library's own, at most 0\.\d+ is allowed`},
		"cudnn_unordered": {4, `out differs by [\d.e-]+ between two runs, its largest value is [\d.]+`},
		"cudnn_fails":     {2, `cuDNN: execute: CUDNN_STATUS_NOT_SUPPORTED: cudnn_fails`},
	} {
		t.Run(fault, func(t *testing.T) {
			p := proofs{t, provedShape, filepath.Join(t.TempDir(), "choices")}
			bits, executions, said := p.run("auto", fault)
			line := regexp.MustCompile(`(?m)^attention: this run refuses cuDNN 92801 attention forward [\d ]+: ` + want.said +
				`: this library's own kernels go on$`)
			if !bytes.Equal(bits, own) || executions != want.executions || !line.MatchString(said) || strings.Count(said, "\n") != 2 {
				t.Errorf("the own kernels' bits %t, %d executions, said %s", bytes.Equal(bits, own), executions, said)
			}
			if e := enginesIn(t, p.file); e["forward"] != "ff" || e["backward"] != "ff" {
				t.Errorf("the file holds %v", e)
			}
			if bits, executions, _ := p.run("auto", ""); !bytes.Equal(bits, own) || executions != 0 {
				t.Errorf("the resumed run executes cuDNN %d times", executions)
			}
			// Each pass is refused by itself: the other one takes what the own kernels left, and is right.
			for _, pass := range []string{"forward", "backward"} {
				before := chosen(t, p.file)
				without(t, p.file, pass)
				if _, executions, said := p.run("auto", ""); executions != 2 || said != "" {
					t.Errorf("%s alone: %d executions, said %s", pass, executions, said)
				}
				if err := os.WriteFile(p.file, []byte(before), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// forward queues a forward pass over zeros.
func forward(t *testing.T, d *Device) {
	f := &fixture{t: t, d: d, compute: BFloat16, aligned: true}
	x := f.matrix(make([]float32, 70*64), 64, BFloat16)
	d.AttentionForward(&AttentionForward{Rows: 70, Sequences: 2, Heads: 2, KVHeads: 2, HeadDim: 32, Longest: 40, Scale: 1, Q: x, K: x, V: x,
		CuSeqlens: f.ints(0, 40, 70), Out: f.empty(70, 64, BFloat16), LSE: f.empty(2, 70, Float32)})
}

// A device that is lost while a plan is proved does not meet that plan again when the run is resumed.
func TestCuDNNThatLosesTheDevice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "choices")
	t.Setenv("SO8T_EMULATED_FAULT", "lost@6") // the checks are two launches, a forward pass two
	d, err := deviceWithCuDNN(t, "auto", file)
	if err != nil {
		t.Fatal(err)
	}
	forward(t, d)
	if err := d.Synchronize(); err == nil || !strings.Contains(err.Error(), "CUDA: ") {
		t.Errorf("error is %v", err)
	}
	d.Close()
	t.Setenv("SO8T_EMULATED_FAULT", "")
	if e := enginesIn(t, file); e["forward"] != "ff" {
		t.Errorf("the file holds %v: %s", e, chosen(t, file))
	}
}

// Where cuDNN is asked for, what is wrong with it is an error, and the file says nothing of it.
func TestCuDNNThatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "choices")
	t.Setenv("SO8T_EMULATED_FAULT", "cudnn_wrong")
	d, err := deviceWithCuDNN(t, "cudnn", file)
	if err != nil {
		t.Fatal(err)
	}
	forward(t, d)
	want := "SO8T_CUDA_ATTENTION=cudnn: cuDNN 92801 attention forward 4 128 2 2 32 0 80 80 80 80 0 0 0 0: out differs by 8 from this library's"
	if err := d.Synchronize(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v", err)
	}
	if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "attention forward") {
		t.Errorf("the file says %s", text)
	}
}

// Of contexts that begin together the first one's verdict counts.
func TestCuDNNFirstVerdictCounts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "choices")
	p := proofs{t, provedShape, file}
	own, _, _ := (proofs{t, provedShape, ""}).run("own", "")
	later, err := deviceWithCuDNN(t, "auto", file)
	if err != nil {
		t.Fatal(err)
	}
	if bits, _, _ := p.run("auto", "cudnn_wrong"); !bytes.Equal(bits, own) {
		t.Fatal("a wrong plan was accepted")
	}
	t.Setenv("SO8T_EMULATED_FAULT", "")
	if !bytes.Equal(attentionWith(t, later, BFloat16, provedShape), own) {
		t.Error("another context of the run took what the first one refuses")
	}
}
