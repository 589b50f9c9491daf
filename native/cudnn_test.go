package native

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// deviceWithCuDNN opens an emulated Hopper card with cuDNN 9.28.1 beside it, which keeps its choices in a file.
func deviceWithCuDNN(t *testing.T, wanted, algorithms string) (*Device, error) {
	t.Helper()
	needEmulator(t)
	t.Setenv("SO8T_EMULATED_ARCH", "sm_90")
	t.Setenv("SO8T_CUDA_ATTENTION", wanted)
	if _, set := os.LookupEnv("SO8T_EMULATED_CUDNN"); !set {
		t.Setenv("SO8T_EMULATED_CUDNN", "92801")
	}
	d, err := Open(Options{Device: tested, Algorithms: algorithms})
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return d, err
}

// attentionWith runs a case forward and backward, checks it, and returns its bits.
func attentionWith(t *testing.T, d *Device, compute DType, s attentionShape) []byte {
	t.Helper()
	f := &fixture{t: t, d: d, r: rand.New(rand.NewPCG(1, 2)), compute: compute, aligned: true}
	attention(f, s)
	f.done()
	return f.out.Bytes()
}

func chosen(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The graphs that cuDNN is given compute attention, run operation by operation: sequences of any length, a window, shared key heads.
func TestCuDNNAttention(t *testing.T) {
	for _, s := range []attentionShape{
		{[]int{60, 3, 1, 64, 0, 128, 1, 1, 90, 36}, 2, 2, 96, 0},
		{[]int{64, 64, 128, 5}, 2, 1, 64, 0},
		{[]int{300, 20}, 2, 2, 96, 64},
		{[]int{20, 200}, 2, 1, 96, 2},
		{[]int{97, 180}, 4, 1, 128, 0},
		{[]int{90, 50}, 20, 10, 16, 33},
	} {
		t.Run(s.String(), func(t *testing.T) {
			algorithms := filepath.Join(t.TempDir(), "choices")
			d, err := deviceWithCuDNN(t, "cudnn", algorithms)
			if err != nil {
				t.Fatal(err)
			}
			attentionWith(t, d, BFloat16, s)
			for _, pass := range []string{"forward", "backward"} {
				if !strings.Contains(chosen(t, algorithms), "| cuDNN 92801 attention "+pass+" ") {
					t.Errorf("the %s pass was not cuDNN's:\n%s", pass, chosen(t, algorithms))
				}
			}
			attentionWith(t, d, Float32, s)
		})
	}
}

// The first engine that is proposed adds in any order: it is refused.
func TestCuDNNEngineHasAFixedOrder(t *testing.T) {
	algorithms := filepath.Join(t.TempDir(), "choices")
	d, err := deviceWithCuDNN(t, "cudnn", algorithms)
	if err != nil {
		t.Fatal(err)
	}
	attentionWith(t, d, BFloat16, attentionShape{[]int{40, 30}, 2, 2, 32, 0})
	engines := map[string]string{}
	for _, m := range regexp.MustCompile(`attention (forward|backward) [^|]*\| ([0-9a-f]{2})000000`).FindAllStringSubmatch(chosen(t, algorithms), -1) {
		engines[m[1]] = m[2]
	}
	if len(engines) != 2 || engines["forward"] != "02" || engines["backward"] != "06" {
		t.Errorf("engines %v", engines)
	}
}

// A run keeps to what it began with: cuDNN of one version, or the library's own kernels.
func TestCuDNNIsWhatARunBeganWith(t *testing.T) {
	shape := attentionShape{[]int{40, 30}, 2, 2, 32, 0}
	run := func(t *testing.T, wanted, algorithms string) []byte {
		t.Helper()
		d, err := deviceWithCuDNN(t, wanted, algorithms)
		if err != nil {
			t.Fatal(err)
		}
		return attentionWith(t, d, BFloat16, shape)
	}
	own, cudnn := run(t, "own", ""), run(t, "cudnn", "")
	if bytes.Equal(own, cudnn) {
		t.Fatal("both give the same bits: nothing below would show which one ran")
	}
	for _, x := range []struct {
		name   string
		before func(t *testing.T, algorithms string)
		then   string // the version that is there later
		want   []byte
	}{
		{"a new run", func(*testing.T, string) {}, "92801", cudnn},
		{"cuDNN", func(t *testing.T, path string) { run(t, "auto", path) }, "92801", cudnn},
		{"another version", func(t *testing.T, path string) { run(t, "auto", path) }, "92900", own},
		{"no cuDNN", func(t *testing.T, path string) {
			t.Setenv("SO8T_EMULATED_CUDNN", "92400") // has no deterministic engine
			run(t, "auto", path)
		}, "92801", own},
		{"an earlier version of this library", func(t *testing.T, path string) {
			run(t, "auto", path)
			var kept []string // as if there had been products only
			for line := range strings.Lines(chosen(t, path)) {
				if !strings.Contains(line, "| attention |") {
					kept = append(kept, line)
				}
			}
			if err := os.WriteFile(path, []byte(strings.Join(kept, "")), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "92801", own},
	} {
		for _, wanted := range []string{"auto", ""} {
			t.Run(x.name+"/"+wanted, func(t *testing.T) {
				algorithms := filepath.Join(t.TempDir(), "choices")
				x.before(t, algorithms)
				want := x.want
				if _, err := os.Stat(algorithms); err != nil && wanted == "" {
					want = own // which is what a run begins with
				}
				t.Setenv("SO8T_EMULATED_CUDNN", x.then)
				if !bytes.Equal(run(t, wanted, algorithms), want) {
					t.Error("the other one ran")
				}
			})
		}
	}
}

// Where cuDNN is asked for and cannot, the error says why.
func TestCuDNNThatCannot(t *testing.T) {
	shape := attentionShape{[]int{40, 30}, 2, 2, 24, 0}
	if _, err := deviceWithCuDNN(t, "both", ""); err == nil || !strings.Contains(err.Error(), "SO8T_CUDA_ATTENTION=both is not auto, own or cudnn") {
		t.Errorf("error is %v", err)
	}
	for version, want := range map[string]string{
		"92801": "SO8T_CUDA_ATTENTION=cudnn: heads of 24 are no multiple of 16 up to 128",
		"92400": "SO8T_CUDA_ATTENTION=cudnn: cuDNN 92400 has no deterministic engine for packed sequences on sm_90",
	} {
		t.Setenv("SO8T_EMULATED_CUDNN", version)
		d, err := deviceWithCuDNN(t, "cudnn", "")
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{t: t, d: d, r: rand.New(rand.NewPCG(1, 2)), compute: BFloat16, aligned: true}
		rows, boundaries := shape.rows()
		x := f.matrix(f.normal(rows*48, BFloat16), 48, BFloat16)
		d.AttentionForward(&AttentionForward{Rows: int64(rows), Sequences: 2, Heads: 2, KVHeads: 2, HeadDim: 24, Longest: 40, Scale: 1, Q: x, K: x, V: x,
			CuSeqlens: f.ints(boundaries...), Out: f.empty(rows, 48, BFloat16), LSE: f.empty(2, rows, Float32)})
		if err := d.Synchronize(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, not %s", err, want)
		}
	}
}

// cuDNNWheel is a folder with lib and include, of SO8T_CUDNN or of a Python environment. Without one the test is skipped.
func cuDNNWheel(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("SO8T_CUDNN"); dir != "" {
		return dir
	}
	found, _ := filepath.Glob(filepath.Join(os.Getenv("VIRTUAL_ENV"), "lib/python*/site-packages/nvidia/cudnn"))
	if os.Getenv("VIRTUAL_ENV") == "" || len(found) == 0 {
		t.Skip("no cuDNN: set SO8T_CUDNN to the folder nvidia/cudnn of the wheel nvidia-cudnn-cu13")
	}
	return found[0]
}

func compiled(t *testing.T, arguments ...string) {
	t.Helper()
	if out, err := exec.Command("g++", append([]string{"-std=c++17", "-Icuda"}, arguments...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// cuda/cudnn.h declares what NVIDIA's header does.
func TestCuDNNHeader(t *testing.T) {
	wheel := cuDNNWheel(t)
	toolkit := filepath.Join(os.Getenv("CUDA_HOME"), "include")
	if _, err := os.Stat(filepath.Join(toolkit, "cuda_runtime_api.h")); err != nil {
		if os.Getenv("SO8T_CUDNN") != "" {
			t.Fatal("SO8T_CUDNN is set, CUDA_HOME has no include/cuda_runtime_api.h")
		}
		t.Skip("no CUDA toolkit")
	}
	compiled(t, "-fsyntax-only", "-I"+toolkit, "-I"+filepath.Join(wheel, "include"), "cuda/cudnn_check.cpp")
}

// What cuDNN calls of the driver to plan: each says that all is well.
const cudaDriver = `#define F(name) int name() { return 0; }
#define HANDLE(name) int name(void** handle) { *handle = (void*)16; return 0; }
#define NUMBER(name, value) int name(int* x) { *x = value; return 0; }
F(cuCtxGetCurrent) F(cuCtxGetLimit) F(cuCtxPopCurrent) F(cuCtxPushCurrent) F(cuGetErrorName) F(cuGetErrorString) F(cuKernelSetAttribute)
F(cuLaunchCooperativeKernel) F(cuLaunchKernel) F(cuLaunchKernelEx) F(cuLibraryUnload) F(cuLinkAddData) F(cuLinkComplete) F(cuLinkCreate)
F(cuLinkDestroy) F(cuModuleUnload) F(cuOccupancyMaxPotentialClusterSize) F(cuStreamGetCtx) F(cuTensorMapEncodeIm2col) F(cuTensorMapEncodeTiled)
HANDLE(cuKernelGetFunction) HANDLE(cuLibraryGetKernel) HANDLE(cuLibraryLoadData) HANDLE(cuLibraryLoadFromFile) HANDLE(cuModuleGetFunction)
HANDLE(cuModuleLoadData)
NUMBER(cuDeviceGet, 0) NUMBER(cuDeviceGetCount, 1) NUMBER(cuDriverGetVersion, 13000) NUMBER(cuKernelGetAttribute, 0)
`

// cardJSON describes an H100, with another compute capability if asked.
func cardJSON(capability int) string {
	return fmt.Sprintf(`{"deviceVer": %d, "driverVer": 13000, "cudaDeviceId": 0, "totalGlobalMem": 85000000000, "maxGridSize": [2147483647, 65535, 65535],
"maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536, "multiProcessorCount": 132, "smCountOrigin": 0, "warpSize": 32, "maxSharedMemoryPerBlock": 49152,
"maxSharedMemoryPerBlockOptin": 232448, "oversizedSharedMemoryPerBlock": 0, "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536,
"maxCtasPerSM": 32, "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
"smClockRateKHz": 1980000, "memClockRateKHz": 2619000, "memoryBusWidth": 5120, "l2CacheSize": 52428800,
"deviceName": "NVIDIA H100 80GB HBM3"}`, capability*10)
}

// cuDNN itself takes the graphs of these shapes and makes plans of them for an H100, without one.
func TestCuDNNPlans(t *testing.T) {
	if testing.Short() {
		t.Skip("planning takes seconds")
	}
	wheel, dir := cuDNNWheel(t), t.TempDir()
	driver := filepath.Join(dir, "driver.c")
	if err := os.WriteFile(driver, []byte(cudaDriver), 0o644); err != nil {
		t.Fatal(err)
	}
	flags := []string{"-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1", "-o", filepath.Join(dir, "libcuda.so.1"), driver}
	if out, err := exec.Command("gcc", flags...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	compiled(t, "-O1", "-o", filepath.Join(dir, "plans"), "cuda/cudnn_plans.cpp", "-xc++", "cuda/cudnn_graph.cu", "cuda/cudnn_sdpa.cu", "-ldl")
	plans := func(capability int, shapes ...string) string {
		t.Helper()
		library := filepath.Join(wheel, "lib", "libcudnn.so.9")
		c := exec.Command(filepath.Join(dir, "plans"), append([]string{library, cardJSON(capability), fmt.Sprint(capability)}, shapes...)...)
		c.Env = append(os.Environ(), "LD_LIBRARY_PATH="+dir+":"+filepath.Join(wheel, "..", "cu13", "lib")+":"+os.Getenv("LD_LIBRARY_PATH"))
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	for _, shape := range []string{"4,2048,32,32,96,0", "1,8192,32,32,96,2047", "16,1024,32,8,128,0", "4,512,24,8,64,0"} {
		out := plans(90, shape)
		if !regexp.MustCompile(`forward: engine \d+ .*\n.* backward: engine 6 .* 14=4, workspace \d+\n$`).MatchString(out) {
			t.Errorf("no plans:\n%s", out)
		}
	}
	if out := plans(80, "4,2048,32,32,96,0"); !strings.Contains(out, "backward: no deterministic engine") {
		t.Errorf("on an A100:\n%s", out)
	}
}
