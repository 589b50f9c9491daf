package native

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"so8t/device"
)

// A fault is one wrong line in a kernel.
type fault struct {
	name, file, old, new string
	test                 string // of this package, that must fail
	env                  string // for it, besides the device
}

var faults = []fault{
	{"a barrier left out", "cuda/device.h",
		"    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;\n    __syncthreads();\n    const int warps = blockDim.x / 32;\n    float most",
		"    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;\n    const int warps = blockDim.x / 32;\n    float most",
		"TestOperations/(quantize_rows|cross_entropy)", ""},
	{"a causal mask that sees one key ahead", "cuda/attention_forward.cu", "if (j < low || j > row) s[i / 2]", "if (j < low || j > row + 1) s[i / 2]",
		"TestOperations/attention/", ""},
	{"cuDNN's causal mask without the diagonal", "cuda/cudnn_sdpa.cu", "compare(kGreaterEqual, index(x, 2)", "compare(kGreater, index(x, 2)",
		"TestCuDNNAttention", ""},
	{"cuDNN's window one too wide", "cuda/cudnn_sdpa.cu", "compare(kGreater, pointwise(kAdd", "compare(kGreaterEqual, pointwise(kAdd",
		"TestCuDNNAttention", ""},
	{"cuDNN's scale left out of a derivative", "cuda/cudnn_sdpa.cu", "dp, t.sum), p), t.scale);", "dp, t.sum), p), t.one);", "TestCuDNNAttention", ""},
	{"cuDNN's offsets by another matrix's stride", "cuda/cudnn_attention.cu", "{s.q, s.k, s.v, s.out, s.heads,", "{s.q, s.q, s.v, s.out, s.heads,",
		"TestCuDNNAttention", ""},
	{"cuDNN's sequences one row short", "cuda/cudnn_attention.cu", "within(next - first, longest);", "within(next - first - 1, longest);",
		"TestCuDNNAttention", ""},
	{"cuDNN's statistics not turned", "cuda/cudnn_attention.cu", "statistics[i % rows * heads + i / rows]", "statistics[i]", "TestCuDNNAttention", ""},
	{"an engine of cuDNN that adds in any order", "cuda/cudnn_graph.cu", "if (notes[i] == kNondeterministic)", "if (notes[i] < 0)",
		"TestCuDNNEngineHasAFixedOrder", ""},
	{"an older run that changes to cuDNN", "cuda/cudnn_planned.cu", "const bool begins = may_begin && algorithms.empty();", "const bool begins = true;",
		"TestCuDNNIsWhatARunBeganWith", ""},
	{"a plan of cuDNN's that is taken unproved", "cuda/cudnn_planned.cu", "if (!p.proved) return prove(", "if (!p.plan) return prove(",
		"TestCuDNNIsRefused", ""},
	{"cuDNN's two results not compared", "cuda/cudnn_proof.cu", "if (f->unequal) return", "if (f->unequal > 1) return",
		"TestCuDNNIsRefused", ""},
	{"cuDNN's result not compared with the own kernels'", "cuda/cudnn_proof.cu", "if (excess <= worst) continue;", "if (excess >= worst) continue;",
		"TestCuDNNIsRefused", ""},
	{"a plan that costs a run its device again", "cuda/cudnn_planned.cu", "e.code == SO8T_ERROR_DEVICE && wanted", "e.code < 0 && wanted",
		"TestCuDNNThatLosesTheDevice", ""},
	{"a refusal of cuDNN's plan that a run forgets", "cuda/cudnn_planned.cu", "if (!wrong.empty()) p.engine = {kRefused, 0, {}};", "",
		"TestCuDNNIsRefused", ""},
	{"a plan of cuDNN's proved by every context", "cuda/cudnn_planned.cu", "p.proved = algorithms.find(p.product, &p.engine);",
		"algorithms.find(p.product, &p.engine);", "TestCuDNNIsProved", ""},
	{"a longest sequence that is believed", "cuda/checks.cu", "v[i - 1] > limit;", "v[i - 1] > limit + 1;", "TestAttentionErrors", ""},
	{"a sequence's first key left out", "cuda/attention_forward.cu", "const int highest = least(end, limit);",
		"const int highest = least(end, limit) - 1;", "TestOperations/attention/", ""},
	{"values read before they have come", "cuda/attention_forward.cu", "        cp_async_wait<0>();\n        __syncthreads();  // the values are there",
		"        __syncthreads();  // the values are there", "TestOperations/attention/", ""},
	{"keys overwritten while they are read", "cuda/attention_forward.cu",
		"        cp_async_wait<0>();\n        __syncthreads();  // the values are there, and nobody needs the keys", "        cp_async_wait<0>();",
		"TestOperations/attention/", "SO8T_EMULATED_COPIES=now"},
	{"a swizzle that reads another chunk", "cuda/attention.h", "const Places<D> of_b(lane % 16, lane / 16);",
		"const Places<D> of_b(lane % 16, 1 - lane / 16);", "TestOperations/attention/", ""},
	{"shared memory that is not asked for", "cuda/attention.h", "if (bytes <= 48 << 10) return;", "if (bytes > 0) return;", "TestOperations/attention/", ""},
	{"a gradient without its delta", "cuda/attention_backward.cu", "p[0][n][i] * (ds[0][n][i] - of[i % 2 * 2 + 1])", "p[0][n][i] * ds[0][n][i]",
		"TestOperations/attention/", ""},
	{"a mask forgotten where a sequence ends", "cuda/attention_backward.cu", "here > top + 15 && here + kStep <= all_high", "here > top + 15",
		"TestOperations/attention/", ""},
	{"a tile taken as whole with a key too many", "cuda/attention_backward.cu", "key + kStep <= top && key >= all_low",
		"key + kStep <= top && key + 1 >= all_low", "TestOperations/attention/", ""},
	{"statistics of other queries", "cuda/attention_backward.cu", "&statistics[turn * kStep + at_query].lse", "&statistics[turn * kStep + (at_query ^ 2)].lse",
		"TestOperations/attention/", ""},
	{"a query's statistics a row off", "cuda/attention_backward.cu", "statistics[mine + m * 16 + h * 8 + lane / 4]",
		"statistics[mine + m * 16 + h * 8 + (lane / 4 ^ 1)]", "TestOperations/attention/", ""},
	{"a sum of powers of another base", "cuda/attention_statistics.h", "lse.data[head * lse.stride + row] * kLog2E", "lse.data[head * lse.stride + row]",
		"TestOperations/attention/", ""},
	{"a tile held before it has come", "cuda/attention.h", "    cp_async_wait<0>();\n    __syncthreads();\n    (tiles.hold(), ...);",
		"    (tiles.hold(), ...);", "TestOperations/attention/", ""},
	{"held rows of another step", "cuda/attention.h", "Held ? a.held[d] : read", "Held ? a.held[D / 16 - 1 - d] : read",
		"TestOperations/attention/", ""},
	{"an adapter on the wrong rows", "cuda/weight.cu", "const int64_t row = o - d.begin[i];", "const int64_t row = o - d.begin[i] + 1;",
		"TestOperations/linear_forward/", ""},
	{"a row's scale off by one", "cuda/weight.cu", "absmax ? absmax[i] / 127.0f", "absmax ? absmax[i > 0 ? i - 1 : 0] / 127.0f", "TestOperations/linear_", ""},
	{"a mask of the next eight columns", "abi/dropout.h", "static_cast<uint32_t>(column / 8)", "static_cast<uint32_t>(column / 8 + 1)",
		"TestOperations/lora", ""},
	{"kept values that are not scaled", "cuda/lora_dx.cu", "pack_bf16(sums[m][n][2 * h] * d.inverse,", "pack_bf16(sums[m][n][2 * h],",
		"TestOperations/linear_backward/", ""},
	{"the mask of the next columns", "cuda/lora_dx.cu", "static_cast<uint32_t>(column / 8), draw)", "static_cast<uint32_t>(column / 8 + 1), draw)",
		"TestOperations/linear_backward/", ""},
	{"a lane that keeps what another stores", "cuda/lora_dx.cu", "upper ? w[i] : w[i + by], by)", "upper ? w[i + by] : w[i], by)",
		"TestOperations/linear_backward/", ""},
	{"the rank's last columns left out", "cuda/lora_dx.cu", "chunk * kChunk < x.rank; chunk++", "(chunk + 1) * kChunk <= x.rank; chunk++",
		"TestOperations/linear_backward/", ""},
	{"a tile masked before it has come", "cuda/lora_tiles.h", "    cp_async_wait<kStages - 2>();\n", "", "TestOperations/lora", ""},
	{"a tile overwritten while it is multiplied", "cuda/lora_tiles.h",
		"        __syncthreads();  // the tiles are there, and nobody needs those of the step before\n", "", "TestOperations/lora", "SO8T_EMULATED_COPIES=now"},
	{"a piece beside the one that is meant", "cuda/lora_masked.cu", "(x_at ^ k * 8)", "(x_at + k * 8)", "TestOperations/lora", ""},
	{"a first part that is not added", "cuda/lora_masked.cu",
		"for (int i = 0; i < count; i++) {", "for (int i = 1; i < count; i++) {", "TestOperations/lora", ""},
	{"a row's parts that depend on the others", "cuda/lora_masked.cu",
		"if ((step + 1) % kDeep != 0 && step + 1 != last) return;", "if (step + 1 != last) return;",
		"TestOperations/lora", ""},
	{"slices that share the first one's B", "cuda/lora_up.cu", "dz.stride_b = (slices.b[1].data - slices.b[0].data) / size;", "dz.stride_b = 0;",
		"TestOperations/lora", ""},
	{"an expanded weight without its adapter", "cuda/linear_forward.cu", "l.slices.count = static_cast<int>(p.slices);", "l.slices.count = 0;",
		"TestOperations/linear_forward/expanded", ""},
	{"the end of a long row left out", "cuda/rmsnorm.cu", "[&](int at) { add(load<T, V>(from + at * V)); });", "[](int) {});", "TestOperations/rmsnorm/", ""},
	{"the target's gradient elsewhere", "cuda/cross_entropy.cu", "if (t / V == at) from_float", "if (t == at) from_float", "TestOperations/cross_entropy/", ""},
	{"sums of a thread that is still adding", "cuda/so8.cu", "        __syncthreads();\n    }\n    for (int i = threadIdx.x; i < kTile",
		"    }\n    for (int i = threadIdx.x; i < kTile", "TestOperations/rotate/", ""},
	{"a code that is cut off instead of rounded", "cuda/adamw.cu", "0.5f), 65535.0f, 0.5f)", "0.5f), 65535.0f, 0.0f)", "TestOracleAdamW", ""},
	{"a product rounded before it is added", "cuda/adamw.cu", "Fused ? fmaf(part, g, old)", "!Fused ? fmaf(part, g, old)", "TestAdamW8bitSeeds", ""},
	{"a last number that is not summed", "cuda/global_norm.cu", "if (at + i < n)", "if (at + i + 1 < n)", "TestOperations/global_norm/", ""},
	{"rows that are not zeroed", "cuda/gather_rows.cu", "cudaMemsetAsync(source, 0xFF,", "cudaMemsetAsync(source, 0x00,", "TestOperations/gather_scatter/", ""},
	{"a nucleus without its least", "cuda/sample.cu", "if (key_of(x[j]) >= least) own", "if (key_of(x[j]) > least) own", "TestOperations/sample/", ""},
	{"positions beside their pages", "abi/pages.h", "page * size + position % size", "page * size + (position + 1) % size",
		"TestOperations/attention_cached", ""},
	{"a try that adds to its own residual", "cuda/products.cu", "x.p.beta != 0 && x.reads_c()", "x.p.beta != 0 && !x.p.residual", "TestProducts", ""},
	{"the residual's rows taken for C's", "cuda/products.cu", "c_type, p.n, p.m, ld_from)", "c_type, p.n, p.m, p.ldc)", "TestProducts", ""},
	{"transpositions exchanged", "cuda/products.cu", "op_a = p.transpose_b ? kOpT : kOpN, op_b = p.transpose_a",
		"op_a = p.transpose_a ? kOpT : kOpN, op_b = p.transpose_b", "TestProducts", ""},
	{"a batch's stride forgotten", "cuda/products.cu", "{b, p.stride_a}", "{b, 0}", "TestProducts", ""},
	{"a refusal that is not remembered", "cuda/products.cu", "return instead.emplace(exact, candidates(x, exact)[0]).first->second;",
		"return candidates(x, exact)[0];", "TestRefusedAlgorithms", ""},
	{"a choice that is not written down", "cuda/products.cu", "            algorithms.add(key, &algo);\n", "", "TestAlgorithmsAreShared", ""},
	{"a block lost in a capture", "cuda/context.cu", "        c_.allocator->give(b.data, b.bytes);\n", "", "TestMemoryFreedInACapture", ""},
	{"a factor of 1 that is rounded once", "cuda/attention_forward.cu", "exp2_fast(__fmul_rn(most[m][h], scale) - base)",
		"exp2_fast(fmaf(most[m][h], scale, -base))", "TestCausalBits", ""},
	{"a refusal that the next launch is blamed for", "cuda/context.cu", "    cudaGetLastError();  // the next launch must not be blamed\n", "",
		"TestRefusedMemoryIsReportedOnce", ""},
	{"a weight's byte without its sign", "cuda/few_rows_mma.cu", "fma_bf16x2(pair & 0xFF80FF80u", "fma_bf16x2(pair & 0xFF00FF00u", "TestEveryInt8", ""},
	{"a stage that is overwritten while it is read", "cuda/few_rows_mma.cu", "            __syncthreads();  // this step's stage is there,",
		"            if (step == 0) __syncthreads();  // this step's stage is there,", "TestOperations/linear_forward/", "SO8T_EMULATED_COPIES=now"},
	{"a stage that is read before it has come", "cuda/few_rows_mma.cu", "cp_async_wait<S - 2>();", "cp_async_wait<S - 1>();",
		"TestOperations/linear_forward/", ""},
	{"half the columns of an output", "cuda/few_rows_mma.cu", "at = turn ? sums[m][n][c] : sums[m][n][c] + at;", "at = sums[m][n][c];",
		"TestOperations/linear_forward/", ""},
	{"a slice's rows from the weight's first", "cuda/few_rows_mma.cu", "n0 - l.begin[i]", "n0", "TestOperations/linear_forward/", ""},
	{"a split's sums that are not added", "cuda/few_rows_mma.cu", "    for (int i = 0; i < l.splits; i++) {", "    for (int i = 1; i < l.splits; i++) {",
		"TestOperations/linear_forward/", ""},
	{"the last columns of a weight row read twice", "cuda/few_rows.cu", "if (at < l.in) add(packed[u], at);", "add(packed[u], at < l.in ? at : l.in - V);",
		"TestOperations/linear_forward/", ""},
	{"a cache's parts of which a block takes one", "cuda/attention_cached.cu", "part <= last_part; part += gridDim.y", "part <= last_part; part += a.parts",
		"TestOperations/attention_cached", ""},
	{"an index that nobody checks", "cuda/checks.cu", "bad = v[i] < least || v[i] >= limit;", "bad = v[i] < least || v[i] > limit;", "TestIndexErrors", ""},
}

// TestFaults builds the emulated library with one fault after another in its sources, and expects the tests to fail: a test
// that cannot fail proves nothing.
func TestFaults(t *testing.T) {
	if tested.Kind != device.Emulated || testing.Short() {
		t.Skip("with SO8T_DEVICE=cuda_emulated, and not -short")
	}
	commands := compileCommands(t)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			library := faultyLibrary(t, f, commands)
			c := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(f.test, "/", "$/^"), "-test.failfast")
			c.Env = append(os.Environ(), "SO8T_NATIVE_DIR="+filepath.Dir(library), "TMPDIR="+filepath.Dir(library), f.env)
			out, err := c.CombinedOutput()
			if err == nil {
				t.Errorf("no test of %s turned red", f.test)
			} else if !regexp.MustCompile("--- FAIL|emulated CUDA:|SIGSEGV").Match(out) {
				t.Errorf("it failed otherwise:\n%s", out)
			}
		})
	}
}

type compileCommand struct {
	Directory, Command, File string
}

// compileCommands are those of the emulated library, as CMake wrote them.
func compileCommands(t *testing.T) []compileCommand {
	t.Helper()
	text, err := os.ReadFile("build/compile_commands.json")
	if err != nil {
		t.Fatal(err, " (make native-emulated)")
	}
	var all, emulated []compileCommand
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if strings.Contains(c.Command, "so8t_cuda_emulated.dir") {
			emulated = append(emulated, c)
		}
	}
	return emulated
}

// faultyLibrary compiles the files that the fault concerns from a copy of the sources, and links them with the other objects.
func faultyLibrary(t *testing.T, f fault, commands []compileCommand) string {
	t.Helper()
	dir := t.TempDir()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "native")
	for _, folder := range []string{"abi", "cuda", "include"} {
		if err := os.CopyFS(filepath.Join(copied, folder), os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(copied, f.file))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), f.old); n != 1 {
		t.Fatalf("%s holds the line to be broken %d times", f.file, n)
	}
	if err := os.WriteFile(filepath.Join(copied, f.file), []byte(strings.Replace(string(text), f.old, f.new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	link := []string{"-shared", "-o", filepath.Join(dir, "libso8t_cuda_emulated.so")}
	for i, c := range commands {
		object := filepath.Join(c.Directory, after(strings.Fields(c.Command), "-o"))
		if concerns(t, f, c.File) {
			fields := strings.Fields(strings.ReplaceAll(c.Command, here, copied))
			object = filepath.Join(dir, filepath.Base(c.File)+".o")
			set(fields, "-o", object)
			if out, err := in(c.Directory, fields); err != nil {
				t.Fatalf("command %d: %v\n%s", i, err, out)
			}
		}
		link = append(link, object)
	}
	if out, err := in(dir, append([]string{"g++"}, link...)); err != nil {
		t.Fatalf("link: %v\n%s", err, out)
	}
	return link[2]
}

// concerns reports whether a source is the faulty file or one of the test's own operations that includes it.
func concerns(t *testing.T, f fault, source string) bool {
	t.Helper()
	base := filepath.Base(source)
	if base == filepath.Base(f.file) {
		return true
	}
	if filepath.Ext(f.file) != ".h" || filepath.Ext(source) != ".cu" {
		return false
	}
	users := map[string][]string{"device.h": {"quantize_rows.cu", "cross_entropy.cu"}, "attention.h": {"attention_forward.cu"},
		"attention_statistics.h": {"attention_backward.cu"}, "dropout.h": {"drop.cu"}, "lora_tiles.h": {"lora_masked.cu"},
		"pages.h": {"gather_rows.cu"}}[filepath.Base(f.file)]
	if users == nil {
		t.Fatalf("nobody is known to use %s", f.file)
	}
	for _, u := range users {
		if u == base {
			return true
		}
	}
	return false
}

func in(dir string, command []string) ([]byte, error) {
	c := exec.Command(command[0], command[1:]...)
	c.Dir = dir
	return c.CombinedOutput()
}

func after(fields []string, flag string) string {
	for i, f := range fields {
		if f == flag && i+1 < len(fields) {
			return fields[i+1]
		}
	}
	return ""
}

func set(fields []string, flag, value string) {
	for i, f := range fields {
		if f == flag && i+1 < len(fields) {
			fields[i+1] = value
		}
	}
}
