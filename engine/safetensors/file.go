package safetensors

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// FormatError says what is wrong with a file's contents.
type FormatError struct {
	Path    string
	Problem error
}

func (e *FormatError) Error() string { return e.Path + ": " + e.Problem.Error() }
func (e *FormatError) Unwrap() error { return e.Problem }

// File is an open, mapped and checked safetensors file. Its methods may be
// called from several goroutines, apart from Close.
type File struct {
	path    string
	mapping []byte
	header  *header
	index   map[string]int // name → position in header.entries
}

// Open maps the file at path and checks its header against its size. Errors of
// the contents are a *FormatError.
func Open(path string) (*File, error) {
	mapping, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, mapping: mapping}
	if f.header, err = parse(mapping); err != nil {
		f.Close()
		return nil, &FormatError{path, err}
	}
	f.index = make(map[string]int, len(f.header.entries))
	for i, e := range f.header.entries {
		f.index[e.Name] = i
	}
	return f, nil
}

// Decode is Open for a whole file in memory. It returns views on image in the
// order of their data, and the header's metadata.
func Decode(image []byte) ([]Named, map[string]string, error) {
	h, err := parse(image)
	if err != nil {
		return nil, nil, err
	}
	tensors := make([]Named, len(h.entries))
	for i, e := range h.entries {
		begin, end := h.data+e.begin, h.data+e.end
		tensors[i] = Named{Name: e.Name, Tensor: Tensor{e.DType, e.Shape, image[begin:end:end]}}
	}
	return tensors, h.metadata, nil
}

func mapFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &FormatError{path, fmt.Errorf("not a regular file but %v", info.Mode().Type())}
	}
	if info.Size() == 0 { // mmap refuses it with a bare EINVAL
		return nil, &FormatError{path, fmt.Errorf("file is empty")}
	}
	mapping, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return mapping, nil
}

// Path is the path the file was opened by.
func (f *File) Path() string { return f.path }

// Names lists the tensors in the order of their data, which is the order to stream them in.
func (f *File) Names() []string {
	names := make([]string, len(f.header.entries))
	for i, e := range f.header.entries {
		names[i] = e.Name
	}
	return names
}

// Tensor returns a view of the named tensor, valid until Close; false if there is none.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.index[name]
	if !ok {
		return Tensor{}, false
	}
	e := f.header.entries[i]
	begin, end := f.header.data+e.begin, f.header.data+e.end
	return Tensor{DType: e.DType, Shape: slices.Clone(e.Shape), Data: f.mapping[begin:end:end]}, true
}

// Metadata is the header's free text; nil if it has none.
func (f *File) Metadata() map[string]string { return f.header.metadata }

// Release returns the named tensor's pages to the system. Views stay valid: what
// is touched again is read from disk again. Unknown names are ignored.
func (f *File) Release(name string) {
	i, ok := f.index[name]
	if !ok {
		return
	}
	e := f.header.entries[i]
	// Whole pages, with neighbours' bytes on them: dropping a clean page costs a fault at most.
	page := int64(os.Getpagesize())
	begin := (f.header.data + e.begin) / page * page
	end := f.header.data + e.end
	if begin < end {
		_ = unix.Madvise(f.mapping[begin:end], unix.MADV_DONTNEED) // advice: nothing depends on it
	}
}

// Close unmaps the file. Every view of it becomes invalid.
func (f *File) Close() error {
	if f.mapping == nil {
		return nil
	}
	err := unix.Munmap(f.mapping)
	f.mapping = nil
	return err
}
