package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// fields are the members of a JSON object, null ones left out. Its methods read one field each and keep the first fault.
type fields struct {
	path    string // of the object, "messages[2]."; empty for the body
	values  map[string]jsontext.Value
	order   []string
	failure *failure
}

// body reads the request's body: one JSON object, its names unique, in UTF-8.
func (s *Server) body(x *exchange) (*fields, *failure) {
	h := x.request.Header
	kind, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := parameters["charset"]
	if err != nil || kind != "application/json" || charset != "" && !bytes.EqualFold([]byte(charset), []byte("utf-8")) {
		return nil, failed(http.StatusUnsupportedMediaType, invalidRequest, "unsupported_media_type", "the body must be application/json in UTF-8")
	}
	if e := h.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, failed(http.StatusUnsupportedMediaType, invalidRequest, "unsupported_encoding", "the body must not be compressed")
	}
	text, err := io.ReadAll(http.MaxBytesReader(x.writer, x.request.Body, s.o.Body))
	x.received = int64(len(text))
	var tooLarge *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &tooLarge):
		return nil, failed(http.StatusRequestEntityTooLarge, invalidRequest, "body_too_large",
			fmt.Sprintf("the body must not have more than %d bytes", s.o.Body))
	case errors.As(err, &network) && network.Timeout():
		return nil, failed(http.StatusRequestTimeout, invalidRequest, "body_too_slow", "the body did not arrive in time")
	case err != nil:
		return nil, refuse("body_incomplete", "", "the body ended before its length")
	}
	answering(x.request.Context())
	d := jsontext.NewDecoder(bytes.NewReader(text))
	v, err := d.ReadValue()
	if err == nil {
		v = v.Clone() // the next read takes its memory
		if _, err = d.ReadToken(); err == io.EOF {
			return parse(v, "")
		}
	}
	return nil, notJSON(err, d.InputOffset())
}

// notJSON says where a body is no JSON. The decoder's own error quotes the text.
func notJSON(err error, offset int64) *failure {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return refuse("invalid_json", "", "the body has an object with the same name twice")
	case err == nil:
		return refuse("invalid_json", "", "the body must be one JSON value: there is more behind byte %d", offset)
	case errors.As(err, &syntax):
		return refuse("invalid_json", "", "the body is not JSON in UTF-8: see byte %d", syntax.ByteOffset)
	}
	return refuse("invalid_json", "", "the body is not JSON in UTF-8")
}

// parse takes apart an object. v is valid JSON.
func parse(v jsontext.Value, path string) (*fields, *failure) {
	if v.Kind() != '{' {
		if path == "" {
			return nil, refuse("invalid_type", "", "the body must be a JSON object")
		}
		name := path[:len(path)-1]
		return nil, refuse("invalid_type", name, "%s must be an object", name)
	}
	f := &fields{path: path, values: map[string]jsontext.Value{}}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	for d.ReadToken(); d.PeekKind() == '"'; {
		name, _ := d.ReadToken()
		key := name.String() // before the next read, which takes its memory
		value, _ := d.ReadValue()
		if value.Kind() != 'n' {
			f.values[key] = value.Clone()
			f.order = append(f.order, key)
		}
	}
	return f, nil
}

// elements takes apart an array, nil if v is none. v is valid JSON.
func elements(v jsontext.Value) []jsontext.Value {
	if v.Kind() != '[' {
		return nil
	}
	list := []jsontext.Value{}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	for d.ReadToken(); d.PeekKind() != ']'; {
		value, _ := d.ReadValue()
		list = append(list, value.Clone())
	}
	return list
}

func (f *fields) has(name string) bool { _, ok := f.values[name]; return ok }

// fault keeps the first fault; it is about a field.
func (f *fields) fault(code, name, format string, args ...any) {
	if f.failure == nil {
		name = f.path + name
		f.failure = refuse(code, name, "%s "+format, append([]any{name}, args...)...)
	}
}

// text reads a string, "" if it is not there.
func (f *fields) text(name string) string {
	v, ok := f.values[name]
	if !ok {
		return ""
	}
	if v.Kind() != '"' {
		f.fault("invalid_type", name, "must be a string")
		return ""
	}
	return unquote(v)
}

// unquote reads a string. v is valid JSON.
func unquote(v jsontext.Value) string {
	text, _ := jsontext.AppendUnquote(nil, v)
	return string(text)
}

// required reads a string that must be there.
func (f *fields) required(name string) string {
	if !f.has(name) {
		f.fault("missing_required_parameter", name, "is required")
	}
	return f.text(name)
}

// number reads a number within bounds.
func (f *fields) number(name string, low, high, absent float64) float64 {
	v, ok := f.values[name]
	if !ok {
		return absent
	}
	if v.Kind() != '0' {
		f.fault("invalid_type", name, "must be a number")
		return absent
	}
	n, err := strconv.ParseFloat(string(v), 64)
	if err != nil || n < low || n > high {
		f.fault("invalid_value", name, "must lie between %g and %g", low, high)
		return absent
	}
	return n
}

// integer reads an integer within bounds.
func (f *fields) integer(name string, low, high, absent int64) int64 {
	v, ok := f.values[name]
	if !ok {
		return absent
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	switch {
	case v.Kind() != '0', errors.Is(err, strconv.ErrSyntax):
		f.fault("invalid_type", name, "must be an integer")
		return absent
	case err != nil, n < low, n > high:
		if low == math.MinInt64 {
			f.fault("invalid_value", name, "must fit into 64 bits")
		} else {
			f.fault("invalid_value", name, "must lie between %d and %d", low, high)
		}
		return absent
	}
	return n
}

// boolean reads true or false.
func (f *fields) boolean(name string) bool {
	v, ok := f.values[name]
	if ok && v.Kind() != 't' && v.Kind() != 'f' {
		f.fault("invalid_type", name, "must be true or false")
	}
	return v.Kind() == 't'
}

// object reads an object, one without members if it is not there.
func (f *fields) object(name string) *fields {
	v, ok := f.values[name]
	if !ok {
		return &fields{path: f.path + name + "."}
	}
	inner, fault := parse(v, f.path+name+".")
	if fault != nil {
		if f.failure == nil {
			f.failure = fault
		}
		return &fields{path: f.path + name + "."}
	}
	return inner
}

// unknown returns the names that are not among known, in the order of the text.
func (f *fields) unknown(known []string) []string {
	var list []string
	for _, name := range f.order {
		if !slices.Contains(known, name) {
			list = append(list, name)
		}
	}
	return list
}
