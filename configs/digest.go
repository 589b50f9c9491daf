package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Values of the tag digest, at a key or a section. A key without the tag decides the trained weights, and with them everything else.
const (
	decidesNothing = "-"       // of the results: paths, whose contents have digests of their own, logging, memory, speed
	decidesVerdict = "verdict" // figures and verdict, but not the weights
	added          = "added"   // the weights, and came after the first release: enters digests only where it differs from its default
)

// Digest names everything that decides a run's results: two configs of one digest give
// the same adapter and the same verdict.
//
// Checkpoints and finished runs carry digests, so a digest must not change when a key is added: a new key is tagged
// added, and its default means what was done before there was the key.
func (c *Config) Digest() string { return c.digestWithout(decidesNothing) }

// TrainingDigest names what decides the trained weights alone, so that a checkpoint
// outlives a change of the evaluation or of the promotion gate.
func (c *Config) TrainingDigest() string { return c.digestWithout(decidesNothing, decidesVerdict) }

func (c *Config) digestWithout(tags ...string) string {
	r := *c
	later := changed(reflect.ValueOf(*c), reflect.ValueOf(Default()), "", false, tags)
	zero(reflect.ValueOf(&r).Elem(), tags)
	r.Training.FP16, r.Training.BF16 = !c.Float32(), false
	r.Device, _, _ = strings.Cut(c.Device, ":") // which GPU computes changes no result
	b, err := json.Marshal(first(reflect.ValueOf(r)).Interface())
	if err != nil {
		panic(err) // numbers, strings and booleans: validated to be finite
	}
	sum := sha256.Sum256(append(b, later...))
	return hex.EncodeToString(sum[:])
}

// zero clears the fields that carry one of the tags.
func zero(v reflect.Value, tags []string) {
	for i := range v.NumField() {
		switch f := v.Type().Field(i); {
		case slices.Contains(tags, f.Tag.Get("digest")):
			v.Field(i).SetZero()
		case f.Type.Kind() == reflect.Struct:
			zero(v.Field(i), tags)
		}
	}
}

// changed lists the added keys that differ from their defaults, one a line, as key=JSON, without those of the tags.
func changed(v, standard reflect.Value, at string, within bool, tags []string) (out []byte) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag := f.Tag.Get("digest")
		is := within || tag == added
		switch {
		case slices.Contains(tags, tag):
		case f.Type.Kind() == reflect.Struct:
			out = append(out, changed(v.Field(i), standard.Field(i), at+name(f)+".", is, tags)...)
		case is && !equal(v.Field(i), standard.Field(i)):
			b, err := json.Marshal(v.Field(i).Interface())
			if err != nil {
				panic(err) // as above
			}
			out = fmt.Appendf(out, "\n%s%s=%s", at, name(f), b)
		}
	}
	return out
}

func name(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// equal compares two values of a key; an empty list or map equals an absent one.
func equal(a, b reflect.Value) bool {
	if k := a.Kind(); (k == reflect.Map || k == reflect.Slice) && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// first is v without the keys that were added later.
func first(v reflect.Value) reflect.Value {
	var fields []reflect.StructField
	var values []reflect.Value
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		if f.Tag.Get("digest") == added {
			continue
		}
		if f.Type.Kind() == reflect.Struct {
			value = first(value)
			f.Type = value.Type()
		}
		f.Offset, f.Index = 0, nil
		fields, values = append(fields, f), append(values, value)
	}
	out := reflect.New(reflect.StructOf(fields)).Elem()
	for i, value := range values {
		out.Field(i).Set(value)
	}
	return out
}

// UnmarshalJSON reads a Config of a workflow's history. Keys that were added after it was written get their defaults.
func (c *Config) UnmarshalJSON(b []byte) error {
	type plain Config // without this method
	*c = Config{}
	fill(reflect.ValueOf(c).Elem(), reflect.ValueOf(Default()), b, false)
	return json.Unmarshal(b, (*plain)(c))
}

// fill gives the added keys that text lacks their defaults. Maps that text has must be empty when it is read: json
// adds to what a map holds.
func fill(v, standard reflect.Value, text json.RawMessage, within bool) {
	var has map[string]json.RawMessage
	_ = json.Unmarshal(text, &has) // where text is no section, it has no keys
	for i := range v.NumField() {
		f := v.Type().Field(i)
		is := within || f.Tag.Get("digest") == added
		switch value := has[name(f)]; {
		case f.Type.Kind() == reflect.Struct:
			fill(v.Field(i), standard.Field(i), value, is)
		case is && value == nil:
			v.Field(i).Set(standard.Field(i))
		}
	}
}
