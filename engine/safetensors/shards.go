package safetensors

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"so8t/disk"
)

// ShardedWriter writes a model folder's weights as Hugging Face does:
// model.safetensors if one file suffices, else model-0000i-of-0000n.safetensors
// with model.safetensors.index.json, the index last.
//
// It writes in place. For all or nothing, let it fill a folder that is renamed
// once Close has succeeded.
type ShardedWriter struct {
	dir      string
	metadata map[string]string
	shards   []shard
	index    []byte // nil for a single file

	current int // position in shards
	file    *os.File
	buffer  *bufio.Writer
	writer  *Writer
}

type shard struct {
	name  string
	specs []Spec // in Order
}

// NewShardedWriter plans shards of at most maxBytes of data (a larger tensor
// gets a shard of its own), filled in the order of specs, into the existing folder dir.
func NewShardedWriter(dir string, specs []Spec, metadata map[string]string, maxBytes int64) (*ShardedWriter, error) {
	if _, err := Order(specs); err != nil { // duplicates may fall into different shards
		return nil, err
	}
	var groups [][]Spec
	var total, filled int64
	for _, s := range specs {
		size, err := s.Bytes()
		if err != nil {
			return nil, err
		}
		if len(groups) == 0 || filled+size > maxBytes && filled > 0 {
			groups = append(groups, nil)
			filled = 0
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], s)
		filled += size
		total += size
	}
	if len(groups) == 0 {
		return nil, errors.New("a model without tensors")
	}
	w := &ShardedWriter{dir: dir, metadata: metadata}
	weightMap := map[string]string{}
	for i, group := range groups {
		name := SingleName
		if len(groups) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(groups))
		}
		order, _ := Order(group) // checked above
		w.shards = append(w.shards, shard{name, order})
		for _, s := range group {
			weightMap[s.Name] = name
		}
	}
	if len(groups) > 1 {
		w.index = renderIndex(weightMap, total)
	}
	return w, w.open()
}

// renderIndex writes the index as transformers does: two spaces, sorted keys, a final newline.
func renderIndex(weightMap map[string]string, totalBytes int64) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(map[string]any{ // strings and one integer: cannot fail
		"metadata":   map[string]int64{"total_size": totalBytes},
		"weight_map": weightMap,
	})
	return b.Bytes()
}

// Order lists the tensors in the order in which Append wants them.
func (w *ShardedWriter) Order() []Spec {
	var order []Spec
	for _, s := range w.shards {
		order = append(order, s.specs...)
	}
	return order
}

// Append writes the next bytes of the named tensor, which may come in several pieces.
func (w *ShardedWriter) Append(name string, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	for w.writer != nil && w.writer.Finish() == nil && w.current+1 < len(w.shards) {
		if err := w.closeFile(); err != nil {
			return err
		}
		w.current++
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.writer == nil {
		return fmt.Errorf("write %s: writer is closed", w.path())
	}
	if err := w.writer.Append(name, data); err != nil {
		return fmt.Errorf("write %s: %w", w.path(), err)
	}
	return nil
}

func (w *ShardedWriter) path() string { return filepath.Join(w.dir, w.shards[w.current].name) }

func (w *ShardedWriter) open() (err error) {
	if w.file, err = os.Create(w.path()); err != nil {
		return err
	}
	w.buffer = bufio.NewWriterSize(w.file, 1<<20)
	if w.writer, err = NewWriter(w.buffer, w.shards[w.current].specs, w.metadata); err != nil {
		w.file.Close()
		return fmt.Errorf("write %s: %w", w.path(), err)
	}
	return nil
}

// closeFile completes the current shard and makes its data durable.
func (w *ShardedWriter) closeFile() error {
	err := w.writer.Finish()
	w.writer = nil
	if err == nil {
		err = w.buffer.Flush()
	}
	if err == nil {
		err = w.file.Sync()
	}
	if closeErr := w.file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", w.path(), err)
	}
	return nil
}

// Close completes the last shard, writes the index and makes everything
// durable. It is an error if data is missing; a second call does nothing.
func (w *ShardedWriter) Close() error {
	if w.writer == nil {
		return nil
	}
	// Trailing shards may hold empty tensors only, for which no Append came.
	for {
		if err := w.closeFile(); err != nil {
			return err
		}
		if w.current+1 == len(w.shards) {
			break
		}
		w.current++
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.index != nil {
		if err := w.writeIndex(); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Join(w.dir, IndexName), err)
		}
	}
	return disk.SyncDir(w.dir)
}

func (w *ShardedWriter) writeIndex() error {
	f, err := os.Create(filepath.Join(w.dir, IndexName))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(w.index); err != nil {
		return err
	}
	return f.Sync()
}
