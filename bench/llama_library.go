package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"unsafe"

	"github.com/ebitengine/purego"
)

// llamaLibrary is what the comparison calls of llama.cpp v0.4.0, which npm's @node-llama-cpp/linux-x64 3.21.1 ships; see
// include/llama.h and ggml/include/ggml-backend.h there.
type llamaLibrary struct {
	loadBackends   func(dir string)
	modelDefaults  func() llamaModelParams
	contextDefault func() llamaContextParams
	loadModel      func(path string, p llamaModelParams) uintptr
	newContext     func(model uintptr, p llamaContextParams) uintptr
	memory         func(context uintptr) uintptr
	clearMemory    func(memory uintptr, data bool)
	decode         func(context uintptr, b llamaBatch) int32
	logits         func(context uintptr, row int32) *float32
	systemInfo     func() string
}

// llamaModelParams and llamaContextParams are opaque but for what is set.
type llamaModelParams struct{ _ [10]uint64 }

type llamaContextParams struct {
	ctx, batch, _, seqMax, _, _, _ uint32
	threads, threadsBatch          int32
	_                              int32 // the context's type
	_                              [15]uint64
}

// llamaBatch is tokens to append to sequences: each with its position, its one sequence and whether its logits are wanted.
type llamaBatch struct {
	tokens    int32
	token     *int32
	_         *float32 // embeddings in place of tokens
	position  *int32
	sequences *int32 // how many each token belongs to
	sequence  **int32
	output    *int8
}

// openLlama loads the library of a folder and the fastest of its CPU backends for this machine.
func openLlama(dir string) (*llamaLibrary, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "libllama.*so"))
	if err != nil || len(paths) == 0 {
		return nil, errors.Join(err, fmt.Errorf("%s: no libllama", dir))
	}
	ggml, err := filepath.Glob(filepath.Join(dir, "libggml.*so"))
	if err != nil || len(ggml) == 0 {
		return nil, errors.Join(err, fmt.Errorf("%s: no libggml", dir))
	}
	l := new(llamaLibrary)
	for _, of := range []struct {
		path  string
		names map[string]any
	}{
		{ggml[0], map[string]any{"ggml_backend_load_all_from_path": &l.loadBackends}},
		{paths[0], map[string]any{"llama_model_default_params": &l.modelDefaults, "llama_context_default_params": &l.contextDefault,
			"llama_model_load_from_file": &l.loadModel, "llama_init_from_model": &l.newContext, "llama_get_memory": &l.memory,
			"llama_memory_clear": &l.clearMemory, "llama_decode": &l.decode, "llama_get_logits_ith": &l.logits, "llama_print_system_info": &l.systemInfo}},
	} {
		library, err := purego.Dlopen(of.path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if err != nil {
			return nil, err
		}
		for name, function := range of.names {
			address, err := purego.Dlsym(library, name)
			if err != nil {
				return nil, err
			}
			purego.RegisterFunc(function, address)
		}
	}
	l.loadBackends(dir)
	return l, nil
}

// row is a copy-free view of the logits of the batch's row.
func (l *llamaLibrary) row(context uintptr, row, vocab int) []float32 {
	return unsafe.Slice(l.logits(context, int32(row)), vocab)
}
