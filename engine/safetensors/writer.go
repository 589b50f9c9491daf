package safetensors

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"so8t/disk"
)

// Order sorts specs as the reference lays files out: widest type first, then
// by name. It returns a new slice and refuses names that a header cannot hold.
func Order(specs []Spec) ([]Spec, error) {
	sorted := slices.Clone(specs)
	slices.SortFunc(sorted, func(a, b Spec) int {
		return cmp.Or(cmp.Compare(dtypes[b.DType].rank, dtypes[a.DType].rank), cmp.Compare(a.Name, b.Name))
	})
	seen := make(map[string]bool, len(sorted))
	for _, s := range sorted {
		if s.Name == metadataKey {
			return nil, fmt.Errorf("tensor name %q is reserved", s.Name)
		}
		if seen[s.Name] {
			return nil, fmt.Errorf("tensor %q is given twice", s.Name)
		}
		seen[s.Name] = true
	}
	return sorted, nil
}

// Writer writes one file as a stream: the header at once, then each tensor's data in Order.
type Writer struct {
	w     io.Writer
	order []Spec
	left  int64 // bytes of order[0] still to come
}

// NewWriter writes the header of specs to w. metadata may be nil.
func NewWriter(w io.Writer, specs []Spec, metadata map[string]string) (*Writer, error) {
	order, err := Order(specs)
	if err != nil {
		return nil, err
	}
	header, err := encode(order, metadata)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(header); err != nil {
		return nil, err
	}
	sw := &Writer{w: w, order: order}
	sw.skipEmpty()
	return sw, nil
}

// skipEmpty moves on to the next tensor that has data.
func (w *Writer) skipEmpty() {
	for w.left == 0 && len(w.order) > 0 {
		if w.left, _ = w.order[0].Bytes(); w.left == 0 {
			w.order = w.order[1:]
		}
	}
}

// Append writes the next bytes of the named tensor. A tensor may come in
// several pieces; tensors come in Order; those without elements need no call.
func (w *Writer) Append(name string, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if len(w.order) == 0 {
		return fmt.Errorf("tensor %q: every tensor is written already", name)
	}
	if next := w.order[0].Name; name != next {
		return fmt.Errorf("tensor %q came where %q is due (%d bytes to go)", name, next, w.left)
	}
	if int64(len(data)) > w.left {
		return fmt.Errorf("tensor %q: %d bytes came, %d are due", name, len(data), w.left)
	}
	if _, err := w.w.Write(data); err != nil {
		return err
	}
	if w.left -= int64(len(data)); w.left == 0 {
		w.order = w.order[1:]
		w.skipEmpty()
	}
	return nil
}

// Finish returns an error if data is missing. It closes nothing.
func (w *Writer) Finish() error {
	if len(w.order) > 0 {
		return fmt.Errorf("tensor %q: %d bytes are missing", w.order[0].Name, w.left)
	}
	return nil
}

// Write writes a whole file to w.
func Write(w io.Writer, tensors []Named, metadata map[string]string) error {
	specs := make([]Spec, len(tensors))
	byName := make(map[string]Named, len(tensors))
	for i, t := range tensors {
		specs[i], byName[t.Name] = t.Spec(), t
		if size, err := specs[i].Bytes(); err == nil && t.From == nil && size != int64(len(t.Data)) {
			return fmt.Errorf("tensor %q: %s %v takes %d bytes, data has %d", t.Name, t.DType, t.Shape, size, len(t.Data))
		}
	}
	sw, err := NewWriter(w, specs, metadata)
	if err != nil {
		return err
	}
	var piece []byte
	for len(sw.order) > 0 {
		t := byName[sw.order[0].Name]
		if t.From == nil {
			err = sw.Append(t.Name, t.Data)
		} else {
			if piece == nil {
				piece = make([]byte, pieceBytes)
			}
			err = sw.appendFrom(t, piece)
		}
		if err != nil {
			return err
		}
	}
	return sw.Finish()
}

const pieceBytes = 4 << 20 // read at once of a tensor in From

func (w *Writer) appendFrom(t Named, piece []byte) error {
	for offset, left := int64(0), w.left; left > 0; {
		n := min(left, int64(len(piece)))
		if read, err := t.From.ReadAt(piece[:n], offset); int64(read) < n {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if err := w.Append(t.Name, piece[:n]); err != nil {
			return err
		}
		offset, left = offset+n, left-n
	}
	return nil
}

// WriteFile writes a whole file at path by disk.Replace.
func WriteFile(path string, tensors []Named, metadata map[string]string) error {
	return disk.Replace(path, func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 1<<20)
		if err := Write(b, tensors, metadata); err != nil {
			return err
		}
		return b.Flush()
	})
}
