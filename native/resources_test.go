package native

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
)

// A card as the emulator and the compiler name it, and what a block may have of its shared memory: table "Technical
// Specifications per Compute Capability" of the CUDA C++ Programming Guide.
type card struct {
	emulated, compiled string
	shared             int
}

var cards = []card{{"sm_80", "sm_80", 163 << 10}, {"sm_86", "sm_86", 99 << 10}, {"sm_89", "sm_89", 99 << 10}, {"sm_90", "sm_90a", 227 << 10},
	{"sm_120", "sm_120", 99 << 10}}

// What every one of them has: registers of a block, and bytes of shared memory without cudaFuncSetAttribute.
const (
	blockRegisters = 64 << 10
	withoutAsking  = 48 << 10
)

// usage is what the compiler's log says of a kernel on one card.
type usage struct {
	registers, shared, stack, spilled int
}

// A kernel of the library: its name without namespaces and parameters, the threads it was compiled for, and its usage by card.
type kernel struct {
	name  string
	bound int
	usage map[string]usage
}

// A launch that the emulator noted.
type launch struct {
	kernel           string
	threads, dynamic int
}

// missing skips, or fails where SO8T_REQUIRE_CUDA is set.
func missing(t *testing.T) func(format string, args ...any) {
	if os.Getenv("SO8T_REQUIRE_CUDA") != "" {
		return t.Fatalf
	}
	return t.Skipf
}

// By the compiler's logs no kernel spills registers or has a stack frame on any card.
func TestCUDAKernelsDoNotSpill(t *testing.T) {
	cudaLibrary(t)
	for name, byCard := range logged(t) {
		for _, c := range cards {
			if u, ok := byCard[c.compiled]; !ok {
				t.Errorf("%s was not compiled for %s", name, c.compiled)
			} else if u.stack > 0 || u.spilled > 0 {
				t.Errorf("%s, %s: %d bytes of stack, %d spilled", name, c.compiled, u.stack, u.spilled)
			}
		}
	}
}

// Every kernel of the library is launched by TestSweep, and every launch fits the card: threads, registers, and the shared
// memory declared and asked for. With -v the most that each takes.
func TestKernelsFitTheirCards(t *testing.T) {
	needEmulator(t)
	cudaLibrary(t)
	kernels, launched := compiledKernels(t), map[string]bool{}
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "card\tkernel\tthreads\tregisters\tshared, bytes\tof the card's")
	for _, c := range cards {
		most := map[string]launch{}
		for _, l := range swept(t, c) {
			launched[l.kernel] = true
			k, ok := kernels[l.kernel]
			if !ok {
				t.Errorf("%s is not in the library", l.kernel)
				continue
			}
			for _, fault := range c.refuses(k, l) {
				t.Errorf("%s, %s of %d threads: %s", c.emulated, l.kernel, l.threads, fault)
			}
			if m, ok := most[l.kernel]; !ok || l.dynamic > m.dynamic {
				most[l.kernel] = l
			}
		}
		for _, name := range slices.Sorted(maps.Keys(most)) {
			u, m := kernels[name].usage[c.compiled], most[name]
			shared := u.shared + m.dynamic
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%.0f %%\n", c.emulated, name, m.threads, u.registers, shared, 100*float64(shared)/float64(c.shared))
		}
	}
	w.Flush()
	t.Logf("%d kernels\n%s", len(kernels), table.String())
	for name := range kernels {
		if !launched[name] {
			t.Errorf("%s is never launched: TestSweep has to", name)
		}
	}
}

// refuses tells why a card would not run a launch. Registers are given to a warp by 256, to a block by four warps.
func (c card) refuses(k kernel, l launch) (faults []string) {
	u, ok := k.usage[c.compiled]
	if !ok {
		return []string{"nothing is known of it"}
	}
	if l.threads > k.bound || k.bound > 1024 {
		faults = append(faults, fmt.Sprintf("it was compiled for up to %d threads", k.bound))
	}
	if shared := u.shared + l.dynamic; shared > c.shared {
		faults = append(faults, fmt.Sprintf("%d bytes of shared memory, the card has %d", shared, c.shared))
	} else if shared > withoutAsking && l.dynamic <= withoutAsking && u.shared > 0 {
		faults = append(faults, fmt.Sprintf("%d bytes of shared memory in all, and no call for the %d beyond what it declares", shared, l.dynamic))
	}
	warps := (l.threads + 127) / 128 * 4
	if registers := (u.registers*32 + 255) / 256 * 256 * warps; registers > blockRegisters {
		faults = append(faults, fmt.Sprintf("%d registers, a block has %d", registers, blockRegisters))
	}
	return faults
}

// A launch that asks for too much of anything is refused, one that asks for all is not.
func TestCardRefuses(t *testing.T) {
	small := card{"sm_86", "sm_86", 99 << 10}
	k := func(registers, shared, bound int) kernel {
		return kernel{"k", bound, map[string]usage{"sm_86": {registers: registers, shared: shared}}}
	}
	for name, c := range map[string]struct {
		kernel kernel
		launch launch
		faults int
	}{
		"all of everything":             {k(128, 0, 512), launch{"k", 512, 99 << 10}, 0},
		"a byte too much":               {k(32, 1, 256), launch{"k", 256, 99 << 10}, 1},
		"a register too much":           {k(129, 0, 512), launch{"k", 512, 0}, 1},
		"a warp that needs four":        {k(248, 0, 288), launch{"k", 288, 0}, 1},
		"more threads than its bound":   {k(32, 0, 256), launch{"k", 288, 0}, 1},
		"declared memory above 48 KiB":  {k(32, 1<<10, 256), launch{"k", 256, 48 << 10}, 1},
		"another card than compiled":    {kernel{"k", 256, nil}, launch{"k", 256, 0}, 1},
		"shared memory and a warp more": {k(255, 50<<10, 256), launch{"k", 288, 50 << 10}, 3},
	} {
		if got := small.refuses(c.kernel, c.launch); len(got) != c.faults {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// swept are the launches of TestSweep on an emulated card.
func swept(t *testing.T, c card) (all []launch) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "launches")
	child := exec.Command(os.Args[0], "-test.run=^TestSweep$")
	// With cuDNN, whose plans are proved against the library's own kernels, both run where there is cuDNN for the card.
	child.Env = append(os.Environ(), "SO8T_EMULATED_ARCH="+c.emulated, "SO8T_EMULATED_LAUNCHES="+path,
		"SO8T_EMULATED_CUDNN=92801", "SO8T_CUDA_ATTENTION=auto")
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", c.emulated, err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		l := launch{kernel: plain(fields[0])}
		if n, err := fmt.Sscan(strings.Join(fields[1:], " "), &l.threads, &l.dynamic); n != 2 {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, l)
	}
	return all
}

// compiledKernels are those of the library, by plain name: what its PTX declares, with the usage that the logs tell.
func compiledKernels(t *testing.T) map[string]kernel {
	t.Helper()
	cuobjdump, env := cuobjdumpCommand()
	if cuobjdump == "" {
		missing(t)("cuobjdump is missing: make native-cuda")
	}
	dump := exec.Command(cuobjdump, "-ptx", "-arch", "sm_80", cudaLibrary(t).path)
	dump.Env = env
	ptx, err := dump.Output()
	if err != nil {
		t.Fatalf("cuobjdump: %v", err)
	}
	entry := regexp.MustCompile(`(?s)\.entry (\S+)\(.*?\)\s*((?:\.\w+ [\d, ]+\s*)*)\{`)
	bound, usages := regexp.MustCompile(`\.maxntid (\d+), 1, 1\b`), logged(t)
	var mangled []string
	kernels := map[string]kernel{}
	found := entry.FindAllStringSubmatch(string(ptx), -1)
	for _, m := range found {
		mangled = append(mangled, m[1])
	}
	names := demangled(t, mangled)
	for i, m := range found {
		b := bound.FindStringSubmatch(m[2])
		if b == nil {
			t.Fatalf("%s has no __launch_bounds__", names[i])
		}
		threads, _ := strconv.Atoi(b[1])
		if _, twice := kernels[names[i]]; twice {
			t.Fatalf("two kernels are %s", names[i])
		}
		kernels[names[i]] = kernel{names[i], threads, usages[m[1]]}
	}
	if len(kernels) < 200 {
		t.Fatalf("the library has %d kernels only", len(kernels))
	}
	return kernels
}

// logged is what the compiler's logs tell, by a kernel's mangled name and the card.
func logged(t *testing.T) map[string]map[string]usage {
	t.Helper()
	logs, err := filepath.Glob("build/cuda/*.log")
	if err != nil || len(logs) == 0 {
		missing(t)("no compiler logs: the library was built elsewhere")
	}
	function := regexp.MustCompile(`Compiling entry function '(\S+)' for '(\S+)'`)
	stack := regexp.MustCompile(`(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads`)
	used := regexp.MustCompile(`Used (\d+) registers(?:.*?, (\d+) bytes smem)?`)
	all := map[string]map[string]usage{}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var name, compiledFor string
		var u usage
		number := func(s string) int {
			n, _ := strconv.Atoi("0" + s)
			return n
		}
		for line := range strings.Lines(string(text)) {
			if m := function.FindStringSubmatch(line); m != nil {
				name, compiledFor, u = m[1], m[2], usage{}
			} else if m := stack.FindStringSubmatch(line); m != nil {
				u.stack, u.spilled = number(m[1]), number(m[2])+number(m[3])
			} else if m := used.FindStringSubmatch(line); m != nil && name != "" {
				u.registers, u.shared = number(m[1]), number(m[2])
				if all[name] == nil {
					all[name] = map[string]usage{}
				}
				all[name][compiledFor], name = u, ""
			}
		}
	}
	if len(all) < 200 {
		t.Fatalf("the logs tell of %d kernels only", len(all))
	}
	return all
}

func demangled(t *testing.T, names []string) []string {
	t.Helper()
	filter := exec.Command("c++filt")
	filter.Stdin = strings.NewReader(strings.Join(names, "\n"))
	out, err := filter.Output()
	if err != nil {
		t.Fatal("c++filt: ", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(names) {
		t.Fatalf("c++filt gave %d names of %d", len(lines), len(names))
	}
	for i, line := range lines {
		lines[i] = plain(line)
	}
	return lines
}

// plain is a kernel's name with its template's arguments, as c++filt and the emulator's compiler both have it without
// namespaces, result and parameters.
func plain(name string) string {
	name = regexp.MustCompile(`\{anonymous\}::|\(anonymous namespace\)::|^void `).ReplaceAllString(name, "")
	name, _, _ = strings.Cut(name, "(")
	return strings.ReplaceAll(name, "so8t::cuda::", "")
}
