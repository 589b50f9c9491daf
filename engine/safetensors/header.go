package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	lengthBytes    = 8              // the header's length, little-endian
	maxHeaderBytes = 100_000_000    // the reference implementation's bound
	metadataKey    = "__metadata__" // the one header key that is not a tensor
)

// entry is a tensor's place in the data section: bytes [begin, end).
type entry struct {
	Spec
	begin, end int64
}

type header struct {
	metadata map[string]string
	entries  []entry // by begin
	data     int64   // where the data section starts in the file
}

// parse reads and checks the header of a whole file's image.
func parse(image []byte) (*header, error) {
	if len(image) < lengthBytes {
		return nil, fmt.Errorf("file has %d bytes, a header length needs %d", len(image), lengthBytes)
	}
	length := binary.LittleEndian.Uint64(image)
	if length > maxHeaderBytes {
		return nil, fmt.Errorf("header length %d is above the format's bound of %d: not a safetensors file, or a damaged one", length, maxHeaderBytes)
	}
	data := lengthBytes + int64(length)
	if data > int64(len(image)) {
		return nil, fmt.Errorf("header needs bytes %d..%d, file has %d", lengthBytes, data, len(image))
	}
	h := &header{data: data}
	if err := h.decode(image[lengthBytes:data]); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return h, h.checkLayout(int64(len(image)))
}

func (h *header) decode(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	if len(text) == 0 || text[0] != '{' {
		return errors.New("does not begin with {")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err := readObject(d, func(key string) error {
		if key == metadataKey {
			h.metadata = map[string]string{}
			return readObject(d, func(k string) (err error) {
				h.metadata[k], err = readString(d)
				return err
			})
		}
		e, err := decodeEntry(d, key)
		h.entries = append(h.entries, e)
		return err
	})
	if err != nil {
		return err
	}
	return end(d)
}

func decodeEntry(d *json.Decoder, name string) (entry, error) {
	e := entry{Spec: Spec{Name: name}, begin: -1}
	fields := 0
	err := readObject(d, func(key string) (err error) {
		fields++
		switch key {
		case "dtype":
			e.DType, err = readString(d)
		case "shape":
			e.Shape, err = readInts(d)
		case "data_offsets":
			var offsets []int64
			if offsets, err = readInts(d); err == nil && len(offsets) != 2 {
				err = fmt.Errorf("want 2 offsets, have %d", len(offsets))
			}
			if err == nil {
				e.begin, e.end = offsets[0], offsets[1]
			}
		default:
			err = errors.New("no such field")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	if err == nil && fields != 3 { // keys are distinct and known, so 3 is all of them
		err = errors.New("needs dtype, shape and data_offsets")
	}
	if err != nil {
		return e, fmt.Errorf("tensor %q: %w", name, err)
	}
	return e, nil
}

// checkLayout checks, as the reference does, that the tensors cover the data
// section exactly: no overlap, no gap, nothing after the last one.
func (h *header) checkLayout(fileBytes int64) error {
	slices.SortFunc(h.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.Name, b.Name))
	})
	dataBytes := fileBytes - h.data
	var next int64
	for i, e := range h.entries {
		want, err := e.Bytes()
		if err != nil {
			return err
		}
		if e.end < e.begin || e.end-e.begin != want {
			return fmt.Errorf("tensor %q: %s %v takes %d bytes, its offsets say %d..%d", e.Name, e.DType, e.Shape, want, e.begin, e.end)
		}
		if e.begin < next {
			return fmt.Errorf("tensor %q at data bytes %d..%d overlaps tensor %q, which ends at %d", e.Name, e.begin, e.end, h.entries[i-1].Name, next)
		}
		if e.begin > next {
			return fmt.Errorf("data bytes %d..%d before tensor %q belong to no tensor", next, e.begin, e.Name)
		}
		if e.end > dataBytes {
			// Not h.data+e.end, which overflows if a corrupt header holds offsets near the largest integer.
			return fmt.Errorf("tensor %q needs bytes %d..%d, file has %d", e.Name, h.data+e.begin, uint64(h.data)+uint64(e.end), fileBytes)
		}
		next = e.end
	}
	if next != dataBytes {
		return fmt.Errorf("last tensor ends at byte %d, file has %d", h.data+next, fileBytes)
	}
	return nil
}

// encode lays out specs (in the order given) and renders the header with its length.
func encode(specs []Spec, metadata map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, lengthBytes))
	b.WriteByte('{')
	if metadata != nil {
		quote(&b, metadataKey)
		b.WriteByte(':')
		quote(&b, metadata) // encoding/json sorts the keys
	}
	var next int64
	for i, s := range specs {
		size, err := s.Bytes()
		if err != nil {
			return nil, err
		}
		if i > 0 || metadata != nil {
			b.WriteByte(',')
		}
		quote(&b, s.Name)
		b.WriteString(`:{"dtype":"` + s.DType + `","shape":[`)
		for j, d := range s.Shape {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.FormatInt(d, 10))
		}
		fmt.Fprintf(&b, `],"data_offsets":[%d,%d]}`, next, next+size)
		next += size
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 { // so that the data section is aligned for every type
		b.WriteByte(' ')
	}
	length := b.Len() - lengthBytes
	if length > maxHeaderBytes {
		return nil, fmt.Errorf("header of %d tensors takes %d bytes, the format allows %d", len(specs), length, maxHeaderBytes)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(length))
	return b.Bytes(), nil
}

// quote appends v as JSON, unescaped as the reference writes it.
func quote(b *bytes.Buffer, v any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings into a buffer: cannot fail
	b.Truncate(b.Len() - 1)
}

// readObject visits the keys of a JSON object and refuses one that comes twice,
// of which encoding/json would silently take the last.
func readObject(d *json.Decoder, visit func(key string) error) error {
	if err := delimiter(d, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := readString(d)
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%q appears twice", key)
		}
		seen[key] = true
		if err := visit(key); err != nil {
			return err
		}
	}
	return delimiter(d, '}')
}

func delimiter(d *json.Decoder, want json.Delim) error {
	t, err := token(d)
	if err == nil && t != want {
		err = fmt.Errorf("want %v, have %v", want, t)
	}
	return err
}

func readString(d *json.Decoder) (string, error) {
	t, err := token(d)
	s, ok := t.(string)
	if err == nil && !ok {
		err = fmt.Errorf("want a string, have %v", t)
	}
	return s, err
}

// readInts reads an array of non-negative decimal integers.
func readInts(d *json.Decoder) ([]int64, error) {
	if err := delimiter(d, '['); err != nil {
		return nil, err
	}
	list := []int64{}
	for d.More() {
		t, err := token(d)
		if err != nil {
			return nil, err
		}
		number, _ := t.(json.Number)
		n, err := strconv.ParseInt(number.String(), 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%v is not a size", t)
		}
		list = append(list, n)
	}
	return list, delimiter(d, ']')
}

func token(d *json.Decoder) (json.Token, error) {
	t, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return t, err
}

// end checks that nothing but padding follows the value.
func end(d *json.Decoder) error {
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the closing brace")
	}
	return nil
}
