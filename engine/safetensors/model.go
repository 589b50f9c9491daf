package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names of a model's files, as Hugging Face gives them.
const (
	SingleName = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
)

// Model is the weights of a model folder: one file, or shards under one index.
type Model struct {
	files []*File          // in order of name
	owner map[string]*File // tensor → its shard
	names []string         // shard by shard, in order of data
}

// OpenModel opens model.safetensors in dir, or the shards that
// model.safetensors.index.json names, and checks that each tensor of the index
// is in its shard. Errors of the contents are a *FormatError.
func OpenModel(dir string) (*Model, error) {
	m := &Model{owner: map[string]*File{}}
	f, err := Open(filepath.Join(dir, SingleName))
	switch {
	case err == nil:
		m.add(f, f.Names())
	case errors.Is(err, fs.ErrNotExist):
		err = m.openShards(dir)
	}
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("open model: %w", err)
	}
	return m, nil
}

func (m *Model) add(f *File, names []string) {
	m.files = append(m.files, f)
	m.names = append(m.names, names...)
	for _, name := range names {
		m.owner[name] = f
	}
}

func (m *Model) openShards(dir string) error {
	path := filepath.Join(dir, IndexName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s holds neither %s nor %s: %w", dir, SingleName, IndexName, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	shards, err := parseIndex(text)
	if err != nil {
		return &FormatError{path, err}
	}
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		wanted := shards[shard]
		f, err := Open(filepath.Join(dir, shard))
		if errors.Is(err, fs.ErrNotExist) {
			return &FormatError{path, fmt.Errorf("shard %s (%d tensors, %q the first) is missing: %w", shard, len(wanted), wanted[0], err)}
		}
		if err != nil {
			return err
		}
		m.add(f, nil) // owned from here on, so that Close unmaps it whatever follows
		for _, name := range wanted {
			if _, ok := f.index[name]; !ok {
				return &FormatError{f.path, fmt.Errorf("tensor %q is not here, though %s says so", name, IndexName)}
			}
		}
		slices.SortFunc(wanted, func(a, b string) int { return f.index[a] - f.index[b] })
		m.names = append(m.names, wanted...)
		for _, name := range wanted {
			m.owner[name] = f
		}
	}
	return nil
}

// parseIndex returns the tensors of each shard, sorted by name.
func parseIndex(text []byte) (map[string][]string, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	shards := map[string][]string{}
	err := readObject(d, func(key string) error {
		if key != "weight_map" {
			var ignored json.RawMessage // "metadata": sizes that nothing here depends on
			return d.Decode(&ignored)
		}
		return readObject(d, func(name string) error {
			shard, err := readString(d)
			if err != nil {
				return fmt.Errorf("weight_map: %q: %w", name, err)
			}
			const longest = 255 // NAME_MAX; the system would refuse longer ones as if the disk were at fault
			if shard == "" || shard != filepath.Base(shard) || !filepath.IsLocal(shard) || strings.Contains(shard, "\x00") || len(shard) > longest {
				return fmt.Errorf("weight_map: %q: %q is not a file name", name, shard)
			}
			shards[shard] = append(shards[shard], name)
			return nil
		})
	})
	if err == nil {
		err = end(d)
	}
	if err == nil && len(shards) == 0 {
		err = errors.New("weight_map names no tensor")
	}
	for _, names := range shards {
		slices.Sort(names)
	}
	return shards, err
}

// Names lists the tensors shard by shard in the order of their data.
func (m *Model) Names() []string { return slices.Clone(m.names) }

// Tensor returns a view of the named tensor, valid until Close; false if there is none.
func (m *Model) Tensor(name string) (Tensor, bool) {
	f, ok := m.owner[name]
	if !ok {
		return Tensor{}, false
	}
	return f.Tensor(name)
}

// Metadata is the free text of the first file's header; nil if it has none.
func (m *Model) Metadata() map[string]string { return m.files[0].Metadata() }

// Files lists the paths of the model's files.
func (m *Model) Files() []string {
	paths := make([]string, len(m.files))
	for i, f := range m.files {
		paths[i] = f.path
	}
	return paths
}

// Release gives the named tensor's pages back to the system; see File.Release.
func (m *Model) Release(name string) {
	if f, ok := m.owner[name]; ok {
		f.Release(name)
	}
}

// Close unmaps every file. Every view of them becomes invalid.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
