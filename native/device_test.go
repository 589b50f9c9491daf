package native

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"so8t/device"
)

// library.symbols names exactly the functions that the headers declare, and the library has them.
func TestSymbols(t *testing.T) {
	var header []byte
	for _, name := range []string{"so8t.h", "so8t_operations.h"} {
		text, err := os.ReadFile(filepath.Join("include", name))
		if err != nil {
			t.Fatal(err)
		}
		header = append(header, text...)
	}
	symbols := new(library).symbols()
	declared := regexp.MustCompile(`(?m)^SO8T_API .*?\bso8t_(\w+)\(`).FindAllStringSubmatch(string(header), -1)
	for _, m := range declared {
		if _, ok := symbols[m[1]]; !ok {
			t.Errorf("so8t_%s of the header is not bound", m[1])
		}
	}
	if len(declared) != len(symbols) {
		t.Errorf("the header declares %d functions, %d are bound", len(declared), len(symbols))
	}
	openDevice(t, 1) // fails where the library lacks one
}

// twins are the Go structs of the ABI's.
func twins() map[string]any {
	return map[string]any{
		"so8t_tensor": Tensor{}, "so8t_dropout": Dropout{}, "so8t_lora_slice": LoRASlice{}, "so8t_open_params": openParams{},
		"so8t_device_info_params": infoParams{}, "so8t_alloc_params": allocParams{}, "so8t_free_params": struct{ Buffer uint64 }{},
		"so8t_transfer_params": transferParams{}, "so8t_snapshot_begin_params": snapshotBeginParams{}, "so8t_snapshot_read_params": snapshotReadParams{},
		"so8t_snapshot_end_params": struct{ Snapshot uint64 }{}, "so8t_record_begin_params": struct{ Recording uint64 }{},
		"so8t_recording_params": struct{ Recording uint64 }{}, "so8t_zero_params": Zero{}, "so8t_cast_params": Cast{},
		"so8t_quantize_rows_params":   QuantizeRows{},
		"so8t_dequantize_rows_params": DequantizeRows{}, "so8t_gather_rows_params": GatherRows{}, "so8t_scatter_rows_params": ScatterRows{},
		"so8t_linear_forward_params": LinearForward{}, "so8t_linear_backward_params": LinearBackward{},
		"so8t_lora_down_forward_params": LoRADownForward{}, "so8t_lora_up_backward_params": LoRAUpBackward{},
		"so8t_lora_down_backward_params": LoRADownBackward{}, "so8t_rmsnorm_forward_params": RMSNormForward{},
		"so8t_rmsnorm_backward_params": RMSNormBackward{}, "so8t_rope_params": Rope{},
		"so8t_attention_forward_params": AttentionForward{}, "so8t_attention_backward_params": AttentionBackward{},
		"so8t_kv_store_params": KVStore{}, "so8t_attention_cached_params": AttentionCached{},
		"so8t_swiglu_forward_params": SwiGLUForward{}, "so8t_swiglu_backward_params": SwiGLUBackward{},
		"so8t_cayley_forward_params": CayleyForward{}, "so8t_cayley_backward_params": CayleyBackward{},
		"so8t_rotate_forward_params": RotateForward{}, "so8t_rotate_backward_params": RotateBackward{},
		"so8t_cross_entropy_params": CrossEntropy{}, "so8t_argmax_params": Argmax{}, "so8t_sample_params": Sample{},
		"so8t_global_norm_params": GlobalNorm{}, "so8t_adamw_params": AdamW{},
	}
}

// The Go constants have the library's values, under names that the library lists too.
func TestConstants(t *testing.T) {
	want := map[string]int{
		"SO8T_ABI_VERSION": abiVersion, "SO8T_MAX_SLICES": MaxSlices,
		"SO8T_OK": codeOK, "SO8T_ERROR_BAD_ARGUMENT": codeBadArgument, "SO8T_ERROR_NO_DEVICE": codeNoDevice, "SO8T_ERROR_OUT_OF_MEMORY": codeOutOfMemory,
		"SO8T_ERROR_DEVICE": codeDevice, "SO8T_ERROR_FILE": codeFile, "SO8T_ERROR_INTERNAL": codeInternal,
	}
	for d := Float32; d <= Float16; d++ {
		want["SO8T_"+strings.ToUpper(d.String())] = int(d)
	}
	got := map[string]int{}
	for line := range strings.Lines(openDevice(t, 1).Layout()) {
		var name string
		var value int
		if n, _ := fmt.Sscanf(line, "%s = %d", &name, &value); n == 2 {
			got[name] = value
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the library's constants are %v, the Go ones %v", got, want)
	}
}

// The Go structs have the sizes, offsets and order of the library's.
func TestLayout(t *testing.T) {
	structs := twins()
	var current reflect.Type
	field, seen := 0, 0
	finish := func() {
		if current != nil && field != current.NumField() {
			t.Errorf("%v has %d fields, the library's twin %d", current, current.NumField(), field)
		}
	}
	for line := range strings.Lines(openDevice(t, 1).Layout()) {
		if strings.Contains(line, " = ") {
			continue // a constant
		}
		var name string
		var offset, size uintptr
		if n, _ := fmt.Sscanf(line, "%s %d %d", &name, &offset, &size); n == 2 { // a struct and its size
			finish()
			value, ok := structs[name]
			if !ok {
				t.Fatalf("%s has no twin", name)
			}
			current, field = reflect.TypeOf(value), 0
			seen++
			if current.Size() != offset {
				t.Errorf("%s has %d bytes, its twin %d", name, offset, current.Size())
			}
			continue
		}
		if field >= current.NumField() {
			t.Fatalf("%s is beyond the fields of %v", name, current)
		}
		if f := current.Field(field); f.Offset != offset || f.Type.Size() != size || (f.Name != "_" && !sameName(name, f.Name)) { // _: reserved
			t.Errorf("%s lies at %d, %d bytes; field %s of its twin at %d, %d bytes", name, offset, size, f.Name, f.Offset, f.Type.Size())
		}
		field++
	}
	finish()
	if seen != len(structs) {
		t.Errorf("the library describes %d structs, %d have twins", seen, len(structs))
	}
}

// sameName compares so8t_x_params.field_name with FieldName.
func sameName(c, g string) bool {
	_, c, _ = strings.Cut(c, ".")
	return strings.EqualFold(strings.ReplaceAll(c, "_", ""), g)
}

// The operations on every instruction set of this CPU, and with oneDNN's bfloat16 products; each in a process of its own.
func TestInstructionSets(t *testing.T) {
	if os.Getenv("SO8T_NATIVE_TEST_CHILD") != "" {
		t.Skip("inside itself")
	}
	if tested.Kind != device.CPU {
		t.Skip("a GPU has one")
	}
	info, err := openDevice(t, 1).Info()
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"SO8T_CPU_ISA=avx2", "SO8T_CPU_ISA=avx512", "SO8T_CPU_BF16=onednn"} {
		t.Run(setting, func(t *testing.T) {
			c := exec.Command(os.Args[0], "-test.run=^(TestOperations|TestOracleAdamW|TestCastFloat16|TestISAName)$", "-test.v")
			c.Env = append(os.Environ(), "SO8T_NATIVE_TEST_CHILD=1", setting)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, wanted, _ := strings.Cut(setting, "=")
			if wanted == "onednn" || info.ISA == "avx2" {
				wanted = info.ISA
			}
			if !strings.Contains(string(out), "isa is "+wanted+"\n") {
				t.Errorf("did not run on %s", wanted)
			}
		})
	}
}

func TestISAName(t *testing.T) {
	info, err := openDevice(t, 2).Info()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("isa is %s\n", info.ISA)
	if (tested.Kind == device.CPU) != (info.Threads == 2) || info.Name == "" || info.MemoryBytes == 0 {
		t.Errorf("info is %+v", info)
	}
}

func TestUnknownISA(t *testing.T) {
	if os.Getenv("SO8T_NATIVE_TEST_CHILD") == "isa" {
		if _, err := Open(Options{Device: device.Device{Kind: device.CPU}}); err == nil || !strings.Contains(err.Error(), `SO8T_CPU_ISA is "sse9"`) {
			t.Errorf("error is %v", err)
		}
		return
	}
	c := exec.Command(os.Args[0], "-test.run=^TestUnknownISA$")
	c.Env = append(os.Environ(), "SO8T_NATIVE_TEST_CHILD=isa", "SO8T_CPU_ISA=sse9")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestMemory(t *testing.T) {
	f := newFixture(t, 1, Float32)
	held := func() Info {
		info, err := f.d.Info()
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	small, large := f.alloc(100), f.alloc(3<<20)
	if info := held(); info.HeldBytes != 100+3<<20 || info.PeakBytes != info.HeldBytes {
		t.Errorf("held %d, peak %d", info.HeldBytes, info.PeakBytes)
	}
	for _, b := range []Buffer{small, large} {
		got := make([]byte, b.Bytes())
		if err := Download(f.d, got, b.Tensor(UInt8, 0, 1)); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if v != 0 {
				t.Fatalf("byte %d of new memory is %d", i, v)
			}
		}
		f.d.Free(b)
	}
	if info := held(); info.HeldBytes != 0 || info.PeakBytes != 100+3<<20 {
		t.Errorf("after free: held %d, peak %d", info.HeldBytes, info.PeakBytes)
	}
	host, err := f.d.AllocOnHost(4096, "host")
	if err != nil {
		t.Fatal(err)
	}
	x := host.Tensor(Float32, 0, 1024)
	f.upload(x, f.normal(1024, Float32))
	f.d.Cast(&Cast{Rows: 1, Columns: 512, X: x.Column(512), Y: x}) // read and written by the device
	if v := f.read(x, 1, 1024); v[0] != v[512] || v[511] != v[1023] || v[0] == v[1] {
		t.Error("memory of the host does not act as the device's")
	}
	if info := held(); info.HeldBytes != 0 {
		t.Errorf("memory of the host counts as %d bytes of the device's", info.HeldBytes)
	}
	f.d.Free(host)
	f.alloc(64)
	_, err = f.d.Alloc(1<<60, "too much")
	if !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), `1152921504606846976 bytes for "too much"`) ||
		!strings.Contains(err.Error(), "64 bytes held") {
		t.Errorf("1 EiB: %v", err)
	}
}
