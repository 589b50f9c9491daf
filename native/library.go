package native

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/ebitengine/purego"

	"so8t/device"
)

// abiVersion is SO8T_ABI_VERSION of the header that this package mirrors.
const abiVersion = 4

// library holds the addresses of one shared library's functions.
type library struct {
	path string

	abi, deviceCount, layout, open, close, lastError, deviceInfo, memory                 uintptr
	alloc, free, upload, download, synchronize, snapshotBegin, snapshotRead, snapshotEnd uintptr
	recordBegin, recordEnd, replay, recordDrop                                           uintptr

	zero, cast, quantizeRows, dequantizeRows, gatherRows, scatterRows                               uintptr
	linearForward, linearBackward, loraDownForward, loraUpBackward, loraDownBackward                uintptr
	rmsnormForward, rmsnormBackward, ropeForward, ropeBackward, attentionForward, attentionBackward uintptr
	kvStore, attentionCached, swigluForward, swigluBackward                                         uintptr
	cayleyForward, cayleyBackward, rotateForward, rotateBackward                                    uintptr
	crossEntropyForward, crossEntropyBackward, argmax, sample, globalNorm, adamw                    uintptr
}

// symbols names every function of the header.
func (l *library) symbols() map[string]*uintptr {
	return map[string]*uintptr{
		"abi_version": &l.abi, "device_count": &l.deviceCount, "layout": &l.layout, "open": &l.open, "close": &l.close, "last_error": &l.lastError,
		"device_info": &l.deviceInfo, "memory": &l.memory, "alloc": &l.alloc, "free": &l.free,
		"upload": &l.upload, "download": &l.download, "synchronize": &l.synchronize,
		"snapshot_begin": &l.snapshotBegin, "snapshot_read": &l.snapshotRead, "snapshot_end": &l.snapshotEnd,
		"record_begin": &l.recordBegin, "record_end": &l.recordEnd, "replay": &l.replay, "record_drop": &l.recordDrop,
		"zero": &l.zero, "cast": &l.cast, "quantize_rows": &l.quantizeRows, "dequantize_rows": &l.dequantizeRows,
		"gather_rows": &l.gatherRows, "scatter_rows": &l.scatterRows,
		"linear_forward": &l.linearForward, "linear_backward": &l.linearBackward, "lora_down_forward": &l.loraDownForward,
		"lora_up_backward": &l.loraUpBackward, "lora_down_backward": &l.loraDownBackward,
		"rmsnorm_forward": &l.rmsnormForward, "rmsnorm_backward": &l.rmsnormBackward, "rope_forward": &l.ropeForward, "rope_backward": &l.ropeBackward,
		"attention_forward": &l.attentionForward, "attention_backward": &l.attentionBackward, "kv_store": &l.kvStore, "attention_cached": &l.attentionCached,
		"swiglu_forward": &l.swigluForward, "swiglu_backward": &l.swigluBackward,
		"cayley_forward": &l.cayleyForward, "cayley_backward": &l.cayleyBackward, "rotate_forward": &l.rotateForward, "rotate_backward": &l.rotateBackward,
		"cross_entropy_forward": &l.crossEntropyForward, "cross_entropy_backward": &l.crossEntropyBackward,
		"argmax": &l.argmax, "sample": &l.sample, "global_norm": &l.globalNorm, "adamw": &l.adamw,
	}
}

// openLibrary loads libso8t_{kind}.so from the first of: SO8T_NATIVE_DIR, the executable's folder,
// native/build of the module that the working directory lies in.
func openLibrary(kind device.Kind) (*library, error) {
	name := fileName(kind)
	var tried []string
	for _, dir := range searchPath() {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			tried = append(tried, dir)
			continue
		}
		return loadLibrary(path)
	}
	build := "build"
	if kind != device.CPU {
		build = "native-" + strings.TrimPrefix(string(kind), "cuda_")
	}
	return nil, failed(ErrDevice, "%s is in none of %s: build it with `make %s`, or set SO8T_NATIVE_DIR to its folder", name, strings.Join(tried, ", "), build)
}

func fileName(kind device.Kind) string { return "libso8t_" + string(kind) + ".so" }

// found reports whether there is a library of that kind.
func found(kind device.Kind) bool {
	for _, dir := range searchPath() {
		if _, err := os.Stat(filepath.Join(dir, fileName(kind))); err == nil {
			return true
		}
	}
	return false
}

func searchPath() (dirs []string) {
	if dir := os.Getenv("SO8T_NATIVE_DIR"); dir != "" {
		dirs = append(dirs, dir)
	}
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(exe))
	}
	wd, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(wd, "go.mod")); missing == nil {
			return append(dirs, filepath.Join(wd, "native", "build"))
		}
		if wd == filepath.Dir(wd) {
			break
		}
		wd = filepath.Dir(wd)
	}
	return dirs
}

func loadLibrary(path string) (*library, error) {
	// RTLD_LOCAL: both libraries export the same names, and neither may bind to the other's
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, failed(ErrDevice, "open %s: %v: build it anew on this machine", path, err)
	}
	l := &library{path: path}
	address := func(name string) (uintptr, error) {
		address, err := purego.Dlsym(handle, "so8t_"+name)
		if err != nil {
			err = failed(ErrDevice, "%s: so8t_%s is missing: %v: build it anew from this program's sources", path, name, err)
		}
		return address, err
	}
	version, err := address("abi_version")
	if err != nil {
		return nil, errors.Join(err, purego.Dlclose(handle))
	}
	if got, _, _ := purego.SyscallN(version); int32(got) != abiVersion {
		err := failed(ErrDevice, "%s has ABI version %d, this program needs %d: build it anew from this program's sources", path, int32(got), abiVersion)
		return nil, errors.Join(err, purego.Dlclose(handle))
	}
	for name, at := range l.symbols() {
		if *at, err = address(name); err != nil {
			return nil, errors.Join(err, purego.Dlclose(handle))
		}
	}
	return l, nil
}
